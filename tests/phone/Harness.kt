// Runs the samples' preprocessing on files that tests/phone/test_kotlin.py wrote.
// Arguments: a folder, and a list in it: "NAME WIDTH HEIGHT ORIENTATION FACTOR RESIZE CROP INTERPOLATION" a line.
import convoy.Decoded
import convoy.Preprocess
import convoy.openPicture
import convoy.preprocess
import java.io.File

class Rows(override val width: Int, override val height: Int, val pixels: ByteArray) : Decoded {
    override fun read(row: Int, line: ByteArray) {
        System.arraycopy(pixels, row * width * 4, line, 0, width * 4)
    }
}

fun main(arguments: Array<String>) {
    val folder = File(arguments[0])
    for (case in File(folder, arguments[1]).readLines()) {
        val (name, width, height, orientation, factor) = case.split(" ")
        val (resize, crop, interpolation) = case.split(" ").drop(5)
        val rows = Rows(width.toInt(), height.toInt(), File(folder, name).readBytes())
        val picture = openPicture(rows, orientation.toInt(), factor.toInt())
        val pixels = preprocess(picture, Preprocess(resize.toInt(), crop.toInt(), interpolation))
        File(folder, name + ".pixels").writeBytes(pixels)
    }
}
