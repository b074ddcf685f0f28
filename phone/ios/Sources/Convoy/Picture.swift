// What a platform's decoder gives → an upright RGB picture on white, as bundle/image.py and bundle/large.py make it.
// phone/android has it in Kotlin, tests/phone/native_port.py in Python, line by line: change all of them. Not compiled
// by Convoy's tests, like Resample.swift.

/// Above this a picture is averaged down while it is read.
let LARGE_PIXELS = 4096 * 4096
let KEPT_SHORT_SIDE = 1024
let MAX_PIXELS = 50_000_000
let RECIPROCAL_BITS = 24

/// Upright RGB, 8 bits, row by row.
struct Picture {
    let width: Int
    let height: Int
    let rgb: [UInt8]

    init(_ width: Int, _ height: Int, _ rgb: [UInt8]) {
        self.width = width
        self.height = height
        self.rgb = rgb
    }
}

/// A decoded file, read by the row: RGBA, 8 bits, colours not multiplied by alpha, not turned by EXIF.
protocol Decoded {
    var width: Int { get }
    var height: Int { get }

    func read(_ row: Int, _ line: inout [UInt8])
}

/// By how much a large picture's sides are divided; 1 for every other.
func reduction(_ width: Int, _ height: Int) -> Int {
    if width * height <= LARGE_PIXELS {
        return 1
    }
    return max(2, min(width, height) / KEPT_SHORT_SIDE)
}

/// By how much a large JPEG is divided while it is decoded: 1, 2, 4 or 8.
func jpegReduction(_ width: Int, _ height: Int) -> Int {
    var step = 1
    while step < 8 && step * 2 <= reduction(width, height) {
        step = step * 2
    }
    return step
}

/// Pillow's blend: (colour * alpha + white * (255 - alpha)) / 255, rounded.
func blendOnWhite(_ line: inout [UInt8], _ pixels: Int) {
    for pixel in 0 ..< pixels {
        let alpha = value(line[pixel * 4 + 3])
        for channel in 0 ..< 3 {
            let sum = value(line[pixel * 4 + channel]) * alpha + 255 * (255 - alpha) + 128
            line[pixel * 4 + channel] = UInt8(((sum >> 8) + sum) >> 8)
        }
    }
}

/// Adds a line's pixels to the sums of their blocks of `factor`.
func addBlocks(_ line: [UInt8], _ pixels: Int, _ factor: Int, _ sums: inout [Int32]) {
    for pixel in 0 ..< pixels {
        for channel in 0 ..< 3 {
            sums[pixel / factor * 3 + channel] += value(line[pixel * 4 + channel])
        }
    }
}

/// The blocks' averages, rounded as Pillow's reduce does, and the sums begun anew; those at the edge are narrower.
func averageBlocks(_ sums: inout [Int32], _ pixels: Int, _ factor: Int, _ rows: Int, _ row: inout [UInt8]) {
    for index in 0 ..< sums.count {
        let count = min(factor, pixels - index / 3 * factor) * rows
        let reciprocal = (1 << RECIPROCAL_BITS) / count
        row[index] = UInt8(((Int(sums[index]) + count / 2) * reciprocal) >> RECIPROCAL_BITS)
        sums[index] = 0
    }
}

/// Where the first pixel of row y comes to lie once turned by the EXIF orientation, counted in pixels.
func turnedStart(_ orientation: Int, _ width: Int, _ height: Int, _ y: Int) -> Int {
    if orientation == 2 {
        return y * width + width - 1
    }
    if orientation == 3 {
        return (height - 1 - y) * width + width - 1
    }
    if orientation == 4 {
        return (height - 1 - y) * width
    }
    if orientation == 5 {
        return y
    }
    if orientation == 6 {
        return height - 1 - y
    }
    if orientation == 7 {
        return (width - 1) * height + height - 1 - y
    }
    if orientation == 8 {
        return (width - 1) * height + y
    }
    return y * width
}

/// How far apart a row's pixels come to lie.
func turnedStep(_ orientation: Int, _ height: Int) -> Int {
    if orientation == 2 || orientation == 3 {
        return -1
    }
    if orientation == 5 || orientation == 6 {
        return height
    }
    if orientation == 7 || orientation == 8 {
        return -height
    }
    return 1
}

/// Puts a row's pixels where the orientation wants them.
func placeRow(_ row: [UInt8], _ start: Int, _ step: Int, _ rgb: inout [UInt8]) {
    for pixel in 0 ..< row.count / 3 {
        for channel in 0 ..< 3 {
            rgb[(start + pixel * step) * 3 + channel] = row[pixel * 3 + channel]
        }
    }
}

/// Upright, on white, blocks of `factor` x `factor` pixels averaged. `orientation`: EXIF's, 1..8.
func openPicture(_ source: Decoded, _ orientation: Int, _ factor: Int) -> Picture {
    let width = (source.width + factor - 1) / factor
    let height = (source.height + factor - 1) / factor
    var rgb = bytes(width * height * 3)
    var line = bytes(source.width * 4)
    var sums = fixed(width * 3)
    var row = bytes(width * 3)
    for y in 0 ..< height {
        let rows = min(factor, source.height - y * factor)
        for part in 0 ..< rows {
            source.read(y * factor + part, &line)
            blendOnWhite(&line, source.width)
            addBlocks(line, source.width, factor, &sums)
        }
        averageBlocks(&sums, source.width, factor, rows, &row)
        placeRow(row, turnedStart(orientation, width, height, y), turnedStep(orientation, height), &rgb)
    }
    if orientation >= 5 && orientation <= 8 {
        return Picture(height, width, rgb)
    }
    return Picture(width, height, rgb)
}
