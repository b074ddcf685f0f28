// Pillow's antialiased resize in its own 8-bit fixed-point arithmetic, so that every pixel comes out the same.
// The algorithm of phone/web/src/resample.ts; phone/android has it in Kotlin, tests/phone/native_port.py in Python, line
// by line: change all of them. Not compiled by Convoy's tests, which have no Swift: tests/phone/test_native.py holds
// every statement to the Kotlin, which is run, and to the Python. Nothing here was run on a phone.
import Foundation

/// Bits behind the point: 8 for the pixel and 2 for sums that leave 0..255 are kept free of 32.
let PRECISION_BITS = 32 - 8 - 2
let HALF: Int32 = 1 << (PRECISION_BITS - 1)

/// Beyond this aspect ratio only the crop's own part is resized, as bundle/preprocess.py does.
let MAX_ASPECT = 64

/// What the manifest says of preprocessing; mean and std are inside the graph.
public struct Preprocess: Decodable {
    let resize: Int
    let crop: Int
    let interpolation: String
}

/// For each output pixel: the first input pixel, how many there are, and their fixed-point weights.
struct Taps {
    let starts: [Int]
    let counts: [Int]
    let weights: [Int32]
    let stride: Int

    init(_ starts: [Int], _ counts: [Int], _ weights: [Int32], _ stride: Int) {
        self.starts = starts
        self.counts = counts
        self.weights = weights
        self.stride = stride
    }
}

func indices(_ count: Int) -> [Int] { [Int](repeating: 0, count: count) }

func fixed(_ count: Int) -> [Int32] { [Int32](repeating: 0, count: count) }

func doubles(_ count: Int) -> [Double] { [Double](repeating: 0, count: count) }

func bytes(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

func value(_ byte: UInt8) -> Int32 { Int32(byte) }

/// Pixels on each side that the filter reaches.
func support(_ interpolation: String) -> Double {
    if interpolation == "bicubic" {
        return 2.0
    }
    return 1.0
}

/// A triangle for bilinear; Keys' cubic with a = -0.5, in Pillow's order of operations, for bicubic.
func weight(_ interpolation: String, _ distance: Double) -> Double {
    let x = abs(distance)
    if interpolation == "bicubic" {
        let a = -0.5
        if x < 1 {
            return ((a + 2) * x - (a + 3)) * x * x + 1
        }
        if x < 2 {
            return (((x - 5) * x + 8) * x - 4) * a
        }
        return 0.0
    }
    if x < 1 {
        return 1 - x
    }
    return 0.0
}

/// A weight as fixed-point number, a half rounded away from zero.
func fixedPoint(_ share: Double) -> Int32 {
    if share < 0 {
        return Int32(-0.5 + share * Double(1 << PRECISION_BITS))
    }
    return Int32(0.5 + share * Double(1 << PRECISION_BITS))
}

/// The taps of output pixels first until first + count of outSize, which cover begin..end of inSize pixels.
func taps(_ inSize: Int, _ begin: Float, _ end: Float, _ outSize: Int, _ interpolation: String, _ first: Int, _ count: Int) -> Taps {
    let scale = Double(end - begin) / Double(outSize)
    let filterScale = max(1.0, scale)
    let reach = support(interpolation) * filterScale
    let inverse = 1 / filterScale
    let stride = Int(ceil(reach)) * 2 + 1
    var starts = indices(count)
    var counts = indices(count)
    var weights = fixed(count * stride)
    var exact = doubles(stride)
    for index in 0 ..< count {
        let centre = Double(begin) + (Double(first + index) + 0.5) * scale
        let start = max(0, Int(centre - reach + 0.5))
        let stop = min(inSize, Int(centre + reach + 0.5))
        var sum = 0.0
        for tap in 0 ..< stop - start {
            exact[tap] = weight(interpolation, (Double(tap + start) - centre + 0.5) * inverse)
            sum += exact[tap]
        }
        if sum == 0.0 {
            sum = 1.0
        }
        starts[index] = start
        counts[index] = stop - start
        for tap in 0 ..< stop - start {
            weights[index * stride + tap] = fixedPoint(exact[tap] / sum)
        }
    }
    return Taps(starts, counts, weights, stride)
}

/// The first input pixel that the taps reach.
func reachStart(_ taps: Taps) -> Int {
    var start = taps.starts[0]
    for index in 0 ..< taps.starts.count {
        start = min(start, taps.starts[index])
    }
    return start
}

/// One behind the last input pixel that the taps reach.
func reachEnd(_ taps: Taps) -> Int {
    var end = 0
    for index in 0 ..< taps.starts.count {
        end = max(end, taps.starts[index] + taps.counts[index])
    }
    return end
}

/// A sum of weighted pixels, HALF included, as a pixel.
func clip(_ sum: Int32) -> Int32 { max(0, min(255, sum >> PRECISION_BITS)) }

/// Adds a row of bytes, weighted, to the sums; it begins at `source`.
func addRow(_ bytes: [UInt8], _ source: Int, _ weight: Int32, _ sums: inout [Int32]) {
    for index in 0 ..< sums.count {
        sums[index] += value(bytes[source + index]) * weight
    }
}

/// The sums as pixels at `target`, and the sums begun anew.
func clipRow(_ sums: inout [Int32], _ result: inout [UInt8], _ target: Int) {
    for index in 0 ..< sums.count {
        result[target + index] = UInt8(clip(sums[index]))
        sums[index] = HALF
    }
}

/// A row's crop columns; pixel 0 of the taps lies at `base`, counted in bytes.
func resampleRow(_ bytes: [UInt8], _ base: Int, _ across: Taps, _ result: inout [UInt8], _ target: Int) {
    for column in 0 ..< across.starts.count {
        for channel in 0 ..< 3 {
            var sum = HALF
            for tap in 0 ..< across.counts[column] {
                let source = base + (across.starts[column] + tap) * 3 + channel
                sum += value(bytes[source]) * across.weights[column * across.stride + tap]
            }
            result[target + column * 3 + channel] = UInt8(clip(sum))
        }
    }
}

/// RGB [rows of the crop, columns of the crop], rows first.
func rowsThenColumns(_ picture: Picture, _ across: Taps, _ down: Taps) -> [UInt8] {
    let left = reachStart(across)
    let columns = reachEnd(across) - left
    let rows = down.starts.count
    var between = bytes(columns * 3)
    var sums = begun(columns * 3)
    var result = bytes(rows * across.starts.count * 3)
    for row in 0 ..< rows {
        for tap in 0 ..< down.counts[row] {
            let source = ((down.starts[row] + tap) * picture.width + left) * 3
            addRow(picture.rgb, source, down.weights[row * down.stride + tap], &sums)
        }
        clipRow(&sums, &between, 0)
        resampleRow(between, -left * 3, across, &result, row * across.starts.count * 3)
    }
    return result
}

/// RGB [rows of the crop, columns of the crop], columns first.
func columnsThenRows(_ picture: Picture, _ across: Taps, _ down: Taps) -> [UInt8] {
    let top = reachStart(down)
    let bottom = reachEnd(down)
    let rows = down.starts.count
    let rowBytes = across.starts.count * 3
    var between = bytes((bottom - top) * rowBytes)
    for y in top ..< bottom {
        resampleRow(picture.rgb, y * picture.width * 3, across, &between, (y - top) * rowBytes)
    }
    var sums = begun(rowBytes)
    var result = bytes(rows * rowBytes)
    for row in 0 ..< rows {
        for tap in 0 ..< down.counts[row] {
            let source = (down.starts[row] + tap - top) * rowBytes
            addRow(between, source, down.weights[row * down.stride + tap], &sums)
        }
        clipRow(&sums, &result, row * rowBytes)
    }
    return result
}

/// Sums of nothing yet.
func begun(_ count: Int) -> [Int32] {
    var sums = fixed(count)
    for index in 0 ..< count {
        sums[index] = HALF
    }
    return sums
}

/// Whether Pillow (from 13.0 on) resamples the rows first: where the height shrinks by much more than the width.
func rowsFirst(_ picture: Picture, _ width: Int, _ height: Int) -> Bool {
    return picture.height > height && picture.height - height > 2 * (picture.width - width)
}

/// One side once the other, short one has `short` pixels: rounded down.
func longSide(_ short: Int, _ side: Int, _ other: Int) -> Int { Int(Double(short * side) / Double(other)) }

/// Python's round(): a half goes to the even neighbour.
func roundHalfEven(_ value: Double) -> Int {
    let below = floor(value)
    let rest = value - below
    if rest > 0.5 || (rest == 0.5 && Int(below) % 2 != 0) {
        return Int(below) + 1
    }
    return Int(below)
}

/// uint8 [crop, crop, 3] RGB of an upright picture: short side to `resize`, centre `crop`.
func preprocess(_ picture: Picture, _ spec: Preprocess) -> [UInt8] {
    let crop = spec.crop
    let kind = spec.interpolation
    var width = spec.resize
    var height = spec.resize
    if picture.width <= picture.height {
        height = longSide(spec.resize, picture.height, picture.width)
    } else {
        width = longSide(spec.resize, picture.width, picture.height)
    }
    let left = roundHalfEven(Double(width - crop) / 2.0)
    let top = roundHalfEven(Double(height - crop) / 2.0)
    if max(width, height) <= MAX_ASPECT * spec.resize {
        let across = taps(picture.width, 0, Float(picture.width), width, kind, left, crop)
        let down = taps(picture.height, 0, Float(picture.height), height, kind, top, crop)
        if rowsFirst(picture, width, height) {
            return rowsThenColumns(picture, across, down)
        }
        return columnsThenRows(picture, across, down)
    }
    let x = Double(picture.width) / Double(width)
    let y = Double(picture.height) / Double(height)
    let across = taps(picture.width, Float(Double(left) * x), Float(Double(left + crop) * x), crop, kind, 0, crop)
    let down = taps(picture.height, Float(Double(top) * y), Float(Double(top + crop) * y), crop, kind, 0, crop)
    if rowsFirst(picture, crop, crop) {
        return rowsThenColumns(picture, across, down)
    }
    return columnsThenRows(picture, across, down)
}
