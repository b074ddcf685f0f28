// What a platform's decoder gives → an upright RGB picture on white, as bundle/image.py and bundle/large.py make it.
// phone/ios has it in Swift, tests/phone/native_port.py in Python, line by line: change all of them. Plain Kotlin, run
// by tests/phone/test_kotlin.py like Resample.kt.
package convoy

import kotlin.math.max
import kotlin.math.min

/** Above this a picture is averaged down while it is read. */
const val LARGE_PIXELS = 4096 * 4096
const val KEPT_SHORT_SIDE = 1024
const val MAX_PIXELS = 50_000_000
const val RECIPROCAL_BITS = 24

/** Upright RGB, 8 bits, row by row. */
class Picture(val width: Int, val height: Int, val rgb: ByteArray)

/** A decoded file, read by the row: RGBA, 8 bits, colours not multiplied by alpha, not turned by EXIF. */
interface Decoded {
    val width: Int
    val height: Int

    fun read(row: Int, line: ByteArray)
}

/** By how much a large picture's sides are divided; 1 for every other. */
fun reduction(width: Int, height: Int): Int {
    if (width * height <= LARGE_PIXELS) {
        return 1
    }
    return max(2, min(width, height) / KEPT_SHORT_SIDE)
}

/** By how much a large JPEG is divided while it is decoded: 1, 2, 4 or 8. */
fun jpegReduction(width: Int, height: Int): Int {
    var step = 1
    while (step < 8 && step * 2 <= reduction(width, height)) {
        step = step * 2
    }
    return step
}

/** Pillow's blend: (colour * alpha + white * (255 - alpha)) / 255, rounded. */
fun blendOnWhite(line: ByteArray, pixels: Int) {
    for (pixel in 0 until pixels) {
        val alpha = value(line[pixel * 4 + 3])
        for (channel in 0 until 3) {
            val sum = value(line[pixel * 4 + channel]) * alpha + 255 * (255 - alpha) + 128
            line[pixel * 4 + channel] = (((sum shr 8) + sum) shr 8).toByte()
        }
    }
}

/** Adds a line's pixels to the sums of their blocks of `factor`. */
fun addBlocks(line: ByteArray, pixels: Int, factor: Int, sums: IntArray) {
    for (pixel in 0 until pixels) {
        for (channel in 0 until 3) {
            sums[pixel / factor * 3 + channel] += value(line[pixel * 4 + channel])
        }
    }
}

/** The blocks' averages, rounded as Pillow's reduce does, and the sums begun anew; those at the edge are narrower. */
fun averageBlocks(sums: IntArray, pixels: Int, factor: Int, rows: Int, row: ByteArray) {
    for (index in 0 until sums.size) {
        val count = min(factor, pixels - index / 3 * factor) * rows
        val reciprocal = (1 shl RECIPROCAL_BITS) / count
        row[index] = (((sums[index] + count / 2).toLong() * reciprocal) shr RECIPROCAL_BITS).toByte()
        sums[index] = 0
    }
}

/** Where the first pixel of row y comes to lie once turned by the EXIF orientation, counted in pixels. */
fun turnedStart(orientation: Int, width: Int, height: Int, y: Int): Int {
    if (orientation == 2) {
        return y * width + width - 1
    }
    if (orientation == 3) {
        return (height - 1 - y) * width + width - 1
    }
    if (orientation == 4) {
        return (height - 1 - y) * width
    }
    if (orientation == 5) {
        return y
    }
    if (orientation == 6) {
        return height - 1 - y
    }
    if (orientation == 7) {
        return (width - 1) * height + height - 1 - y
    }
    if (orientation == 8) {
        return (width - 1) * height + y
    }
    return y * width
}

/** How far apart a row's pixels come to lie. */
fun turnedStep(orientation: Int, height: Int): Int {
    if (orientation == 2 || orientation == 3) {
        return -1
    }
    if (orientation == 5 || orientation == 6) {
        return height
    }
    if (orientation == 7 || orientation == 8) {
        return -height
    }
    return 1
}

/** Puts a row's pixels where the orientation wants them. */
fun placeRow(row: ByteArray, start: Int, step: Int, rgb: ByteArray) {
    for (pixel in 0 until row.size / 3) {
        for (channel in 0 until 3) {
            rgb[(start + pixel * step) * 3 + channel] = row[pixel * 3 + channel]
        }
    }
}

/** Upright, on white, blocks of `factor` x `factor` pixels averaged. `orientation`: EXIF's, 1..8. */
fun openPicture(source: Decoded, orientation: Int, factor: Int): Picture {
    val width = (source.width + factor - 1) / factor
    val height = (source.height + factor - 1) / factor
    val rgb = bytes(width * height * 3)
    val line = bytes(source.width * 4)
    val sums = fixed(width * 3)
    val row = bytes(width * 3)
    for (y in 0 until height) {
        val rows = min(factor, source.height - y * factor)
        for (part in 0 until rows) {
            source.read(y * factor + part, line)
            blendOnWhite(line, source.width)
            addBlocks(line, source.width, factor, sums)
        }
        averageBlocks(sums, source.width, factor, rows, row)
        placeRow(row, turnedStart(orientation, width, height, y), turnedStep(orientation, height), rgb)
    }
    if (orientation >= 5 && orientation <= 8) {
        return Picture(height, width, rgb)
    }
    return Picture(width, height, rgb)
}
