// Pillow's antialiased resize in its own 8-bit fixed-point arithmetic, so that every pixel comes out the same.
// The algorithm of phone/web/src/resample.ts; phone/ios has it in Swift, tests/phone/native_port.py in Python, line by
// line: change all of them. Plain Kotlin: tests/phone/test_kotlin.py compiles it, with Picture.kt, where there is a
// compiler, and compares its pixels with Python's. Nothing here was run on a phone.
package convoy

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min

/** Bits behind the point: 8 for the pixel and 2 for sums that leave 0..255 are kept free of 32. */
const val PRECISION_BITS = 32 - 8 - 2
const val HALF = 1 shl (PRECISION_BITS - 1)

/** Beyond this aspect ratio only the crop's own part is resized, as bundle/preprocess.py does. */
const val MAX_ASPECT = 64

/** What the manifest says of preprocessing; mean and std are inside the graph. */
class Preprocess(val resize: Int, val crop: Int, val interpolation: String)

/** For each output pixel: the first input pixel, how many there are, and their fixed-point weights. */
class Taps(val starts: IntArray, val counts: IntArray, val weights: IntArray, val stride: Int)

fun indices(count: Int) = IntArray(count)

fun fixed(count: Int) = IntArray(count)

fun doubles(count: Int) = DoubleArray(count)

fun bytes(count: Int) = ByteArray(count)

fun value(byte: Byte): Int = byte.toInt() and 0xff

/** Pixels on each side that the filter reaches. */
fun support(interpolation: String): Double {
    if (interpolation == "bicubic") {
        return 2.0
    }
    return 1.0
}

/** A triangle for bilinear; Keys' cubic with a = -0.5, in Pillow's order of operations, for bicubic. */
fun weight(interpolation: String, distance: Double): Double {
    val x = abs(distance)
    if (interpolation == "bicubic") {
        val a = -0.5
        if (x < 1) {
            return ((a + 2) * x - (a + 3)) * x * x + 1
        }
        if (x < 2) {
            return (((x - 5) * x + 8) * x - 4) * a
        }
        return 0.0
    }
    if (x < 1) {
        return 1 - x
    }
    return 0.0
}

/** A weight as fixed-point number, a half rounded away from zero. */
fun fixedPoint(share: Double): Int {
    if (share < 0) {
        return (-0.5 + share * (1 shl PRECISION_BITS)).toInt()
    }
    return (0.5 + share * (1 shl PRECISION_BITS)).toInt()
}

/** The taps of output pixels first until first + count of outSize, which cover begin..end of inSize pixels. */
fun taps(inSize: Int, begin: Float, end: Float, outSize: Int, interpolation: String, first: Int, count: Int): Taps {
    val scale = (end - begin).toDouble() / outSize
    val filterScale = max(1.0, scale)
    val reach = support(interpolation) * filterScale
    val inverse = 1 / filterScale
    val stride = ceil(reach).toInt() * 2 + 1
    val starts = indices(count)
    val counts = indices(count)
    val weights = fixed(count * stride)
    val exact = doubles(stride)
    for (index in 0 until count) {
        val centre = begin.toDouble() + ((first + index).toDouble() + 0.5) * scale
        val start = max(0, (centre - reach + 0.5).toInt())
        val stop = min(inSize, (centre + reach + 0.5).toInt())
        var sum = 0.0
        for (tap in 0 until stop - start) {
            exact[tap] = weight(interpolation, ((tap + start).toDouble() - centre + 0.5) * inverse)
            sum += exact[tap]
        }
        if (sum == 0.0) {
            sum = 1.0
        }
        starts[index] = start
        counts[index] = stop - start
        for (tap in 0 until stop - start) {
            weights[index * stride + tap] = fixedPoint(exact[tap] / sum)
        }
    }
    return Taps(starts, counts, weights, stride)
}

/** The first input pixel that the taps reach. */
fun reachStart(taps: Taps): Int {
    var start = taps.starts[0]
    for (index in 0 until taps.starts.size) {
        start = min(start, taps.starts[index])
    }
    return start
}

/** One behind the last input pixel that the taps reach. */
fun reachEnd(taps: Taps): Int {
    var end = 0
    for (index in 0 until taps.starts.size) {
        end = max(end, taps.starts[index] + taps.counts[index])
    }
    return end
}

/** A sum of weighted pixels, HALF included, as a pixel. */
fun clip(sum: Int): Int = max(0, min(255, sum shr PRECISION_BITS))

/** Adds a row of bytes, weighted, to the sums; it begins at `source`. */
fun addRow(bytes: ByteArray, source: Int, weight: Int, sums: IntArray) {
    for (index in 0 until sums.size) {
        sums[index] += value(bytes[source + index]) * weight
    }
}

/** The sums as pixels at `target`, and the sums begun anew. */
fun clipRow(sums: IntArray, result: ByteArray, target: Int) {
    for (index in 0 until sums.size) {
        result[target + index] = clip(sums[index]).toByte()
        sums[index] = HALF
    }
}

/** A row's crop columns; pixel 0 of the taps lies at `base`, counted in bytes. */
fun resampleRow(bytes: ByteArray, base: Int, across: Taps, result: ByteArray, target: Int) {
    for (column in 0 until across.starts.size) {
        for (channel in 0 until 3) {
            var sum = HALF
            for (tap in 0 until across.counts[column]) {
                val source = base + (across.starts[column] + tap) * 3 + channel
                sum += value(bytes[source]) * across.weights[column * across.stride + tap]
            }
            result[target + column * 3 + channel] = clip(sum).toByte()
        }
    }
}

/** RGB [rows of the crop, columns of the crop], rows first. */
fun rowsThenColumns(picture: Picture, across: Taps, down: Taps): ByteArray {
    val left = reachStart(across)
    val columns = reachEnd(across) - left
    val rows = down.starts.size
    val between = bytes(columns * 3)
    val sums = begun(columns * 3)
    val result = bytes(rows * across.starts.size * 3)
    for (row in 0 until rows) {
        for (tap in 0 until down.counts[row]) {
            val source = ((down.starts[row] + tap) * picture.width + left) * 3
            addRow(picture.rgb, source, down.weights[row * down.stride + tap], sums)
        }
        clipRow(sums, between, 0)
        resampleRow(between, -left * 3, across, result, row * across.starts.size * 3)
    }
    return result
}

/** RGB [rows of the crop, columns of the crop], columns first. */
fun columnsThenRows(picture: Picture, across: Taps, down: Taps): ByteArray {
    val top = reachStart(down)
    val bottom = reachEnd(down)
    val rows = down.starts.size
    val rowBytes = across.starts.size * 3
    val between = bytes((bottom - top) * rowBytes)
    for (y in top until bottom) {
        resampleRow(picture.rgb, y * picture.width * 3, across, between, (y - top) * rowBytes)
    }
    val sums = begun(rowBytes)
    val result = bytes(rows * rowBytes)
    for (row in 0 until rows) {
        for (tap in 0 until down.counts[row]) {
            val source = (down.starts[row] + tap - top) * rowBytes
            addRow(between, source, down.weights[row * down.stride + tap], sums)
        }
        clipRow(sums, result, row * rowBytes)
    }
    return result
}

/** Sums of nothing yet. */
fun begun(count: Int): IntArray {
    val sums = fixed(count)
    for (index in 0 until count) {
        sums[index] = HALF
    }
    return sums
}

/** Whether Pillow (from 13.0 on) resamples the rows first: where the height shrinks by much more than the width. */
fun rowsFirst(picture: Picture, width: Int, height: Int): Boolean {
    return picture.height > height && picture.height - height > 2 * (picture.width - width)
}

/** One side once the other, short one has `short` pixels: rounded down. */
fun longSide(short: Int, side: Int, other: Int): Int = ((short * side).toDouble() / other).toInt()

/** Python's round(): a half goes to the even neighbour. */
fun roundHalfEven(value: Double): Int {
    val below = floor(value)
    val rest = value - below
    if (rest > 0.5 || (rest == 0.5 && below.toInt() % 2 != 0)) {
        return below.toInt() + 1
    }
    return below.toInt()
}

/** uint8 [crop, crop, 3] RGB of an upright picture: short side to `resize`, centre `crop`. */
fun preprocess(picture: Picture, spec: Preprocess): ByteArray {
    val crop = spec.crop
    val kind = spec.interpolation
    var width = spec.resize
    var height = spec.resize
    if (picture.width <= picture.height) {
        height = longSide(spec.resize, picture.height, picture.width)
    } else {
        width = longSide(spec.resize, picture.width, picture.height)
    }
    val left = roundHalfEven((width - crop) / 2.0)
    val top = roundHalfEven((height - crop) / 2.0)
    if (max(width, height) <= MAX_ASPECT * spec.resize) {
        val across = taps(picture.width, 0.toFloat(), picture.width.toFloat(), width, kind, left, crop)
        val down = taps(picture.height, 0.toFloat(), picture.height.toFloat(), height, kind, top, crop)
        if (rowsFirst(picture, width, height)) {
            return rowsThenColumns(picture, across, down)
        }
        return columnsThenRows(picture, across, down)
    }
    val x = picture.width.toDouble() / width
    val y = picture.height.toDouble() / height
    val across = taps(picture.width, (left * x).toFloat(), ((left + crop) * x).toFloat(), crop, kind, 0, crop)
    val down = taps(picture.height, (top * y).toFloat(), ((top + crop) * y).toFloat(), crop, kind, 0, crop)
    if (rowsFirst(picture, crop, crop)) {
        return rowsThenColumns(picture, across, down)
    }
    return columnsThenRows(picture, across, down)
}
