// Not built in Convoy's own tests: no Xcode there.
import Accelerate
import CoreGraphics
import Foundation
import ImageIO

/// Decodes a file to an upright RGB picture on white.
///
/// vImage hands over colours that are not multiplied by alpha, which no CGContext of 8 bits does; and CGImage, unlike
/// UIImage, is not turned by EXIF, so that is done in one place, after averaging.
func decode(_ data: Data) throws -> Picture {
    guard let source = CGImageSourceCreateWithData(data as CFData, nil),
          let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any],
          let width = properties[kCGImagePropertyPixelWidth] as? Int,
          let height = properties[kCGImagePropertyPixelHeight] as? Int
    else { throw Problem("The file cannot be read as a picture.") }
    guard width * height <= MAX_PIXELS else { throw Problem("The picture has more than 50 million pixels.") }
    guard let image = CGImageSourceCreateImageAtIndex(source, 0, nil) else {
        throw Problem("The file cannot be read as a picture.")
    }
    let jpeg = CGImageSourceGetType(source) as String? == "public.jpeg"
    let factor = jpeg ? jpegReduction(width, height) : reduction(width, height)
    let orientation = properties[kCGImagePropertyOrientation] as? Int ?? 1
    return openPicture(try ImageRows(image), orientation, factor)
}

private final class ImageRows: Decoded {
    let width: Int
    let height: Int
    private let buffer: vImage_Buffer

    init(_ image: CGImage) throws {
        width = image.width
        height = image.height
        // The numbers of an RGB file stay as they are, whatever its profile; grey and CMYK become sRGB.
        let own = image.colorSpace.flatMap { $0.model == .rgb ? $0 : nil }
        guard let space = own ?? CGColorSpace(name: CGColorSpace.sRGB),
              let format = vImage_CGImageFormat(
                  bitsPerComponent: 8,
                  bitsPerPixel: 32,
                  colorSpace: space,
                  bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.last.rawValue)
              )
        else { throw Problem("The picture's colours cannot be read.") }
        buffer = try vImage_Buffer(cgImage: image, format: format)
    }

    deinit {
        buffer.free()
    }

    func read(_ row: Int, _ line: inout [UInt8]) {
        let start = UnsafeRawPointer(buffer.data!) + row * buffer.rowBytes
        line.withUnsafeMutableBytes { $0.copyMemory(from: UnsafeRawBufferPointer(start: start, count: width * 4)) }
    }
}
