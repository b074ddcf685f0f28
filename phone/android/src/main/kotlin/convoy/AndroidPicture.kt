// Not built in Convoy's own tests: no Android SDK there.
package convoy

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.media.ExifInterface
import java.io.ByteArrayInputStream
import java.nio.ByteBuffer

/**
 * Decodes a file to an upright RGB picture on white.
 *
 * BitmapFactory, not ImageDecoder: it does not turn by EXIF, so every format is turned in one place, after averaging.
 * The bytes are copied, not taken by getPixels, which would convert a foreign colour profile to sRGB.
 * Throws: IllegalArgumentException with a sentence for people.
 */
fun decode(data: ByteArray): Picture {
    val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
    BitmapFactory.decodeByteArray(data, 0, data.size, bounds)
    require(bounds.outWidth > 0) { "The file cannot be read as a picture." }
    require(bounds.outWidth.toLong() * bounds.outHeight <= MAX_PIXELS) { "The picture has more than 50 million pixels." }
    val jpeg = bounds.outMimeType == "image/jpeg"
    val options = BitmapFactory.Options().apply {
        inPremultiplied = false
        inPreferredConfig = Bitmap.Config.ARGB_8888
        inSampleSize = if (jpeg) jpegReduction(bounds.outWidth, bounds.outHeight) else 1 // libjpeg's own scaling
    }
    val bitmap = BitmapFactory.decodeByteArray(data, 0, data.size, options)
    requireNotNull(bitmap) { "The file cannot be read as a picture." }
    try {
        return openPicture(BitmapRows(bitmap), orientation(data), reduction(bitmap.width, bitmap.height))
    } finally {
        bitmap.recycle()
    }
}

private fun orientation(data: ByteArray): Int = try {
    ExifInterface(ByteArrayInputStream(data)).getAttributeInt(ExifInterface.TAG_ORIENTATION, 1)
} catch (broken: java.io.IOException) {
    1 // says nothing of the pixels
}

/** ARGB_8888 lies in memory as R, G, B, A. */
private class BitmapRows(bitmap: Bitmap) : Decoded {
    override val width = bitmap.width
    override val height = bitmap.height
    private val stride = bitmap.rowBytes
    private val pixels = ByteBuffer.allocateDirect(bitmap.byteCount).also(bitmap::copyPixelsToBuffer)

    init {
        require(bitmap.config == Bitmap.Config.ARGB_8888) { "The picture was decoded as ${bitmap.config}." }
    }

    override fun read(row: Int, line: ByteArray) {
        pixels.position(row * stride)
        pixels.get(line, 0, width * 4)
    }
}
