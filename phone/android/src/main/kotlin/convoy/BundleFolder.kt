// Not built in Convoy's own tests: no Android SDK there.
package convoy

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import org.json.JSONObject

/** A bundle's folder on the device: manifest, labels, one artefact and the golden picture (docs/bundle-format.md). */
class BundleFolder(private val root: File) {
    private val manifest = JSONObject(File(root, "manifest.json").readText())
    val labels = List(manifest.getJSONArray("labels").length()) { manifest.getJSONArray("labels").getString(it) }
    val spec: Preprocess

    init {
        require(manifest.getString("kind") == "bundle") { "manifest.json is not a bundle's manifest." }
        val version = manifest.getInt("schema_version")
        require(version == 1) { "The bundle's format is version $version, this app reads version 1: update the app." }
        val found = manifest.getJSONObject("preprocess")
        val interpolation = found.getString("interpolation")
        require(interpolation in setOf("bilinear", "bicubic")) { "interpolation $interpolation is not known here." }
        spec = Preprocess(found.getInt("resize"), found.getInt("crop"), interpolation)
    }

    /** The record of `target` (onnx, onnx-int8, executorch, …). It must take bytes: then mean and std are inside. */
    fun artefact(target: String): JSONObject {
        val all = manifest.getJSONArray("artefacts")
        val found = List(all.length()) { all.getJSONObject(it) }.find { it.getString("target") == target }
        requireNotNull(found) { "The bundle has no $target: export it with --to $target." }
        val input = found.getJSONArray("inputs").getJSONObject(0)
        require(input.getString("dtype") == "uint8" && input.getString("layout").startsWith("NHWC")) {
            "${found.getString("path")} takes ${input.getString("dtype")} ${input.getString("layout")}, not the bytes of a picture."
        }
        return found
    }

    /** A file that the manifest names, after its checksum came out right. */
    fun file(record: JSONObject): File {
        val file = File(root, record.getString("path"))
        val digest = MessageDigest.getInstance("SHA-256").digest(file.readBytes())
        val found = digest.joinToString("") { "%02x".format(it) }
        check(found == record.getString("sha256")) { "$file is not the file that the manifest names." }
        return file
    }

    /** The golden tensor, uint8 [crop * crop * 3], and what the artefact answered to it, float32 [K]. */
    fun golden(artefact: JSONObject): Pair<ByteArray, FloatArray> {
        val picture = manifest.getJSONArray("golden").getJSONObject(0)
        val own = artefact.optJSONObject("golden")
        val answers = readFloats(file(own ?: picture.getJSONObject("probabilities")))
        return Pair(readBytes(file(picture.getJSONObject("tensor"))), answers.copyOf(labels.size))
    }
}

/** Largest allowed difference of a probability from the recorded one (bundle/golden.py). */
val GOLDEN_TOLERANCE = mapOf("fp32" to 1e-3f, "fp16" to 1e-2f, "int8" to 0.1f)

/** The data of a .npy of bytes. */
fun readBytes(file: File): ByteArray = npy(file.readBytes(), "|u1").let { ByteArray(it.remaining()).also(it::get) }

/** The data of a .npy of float32. */
fun readFloats(file: File): FloatArray {
    val floats = npy(file.readBytes(), "<f4").asFloatBuffer()
    return FloatArray(floats.remaining()).also { floats.get(it) }
}

private fun npy(data: ByteArray, type: String): ByteBuffer {
    val buffer = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN)
    val length = buffer.getShort(8).toInt()
    check(String(data, 10, length, Charsets.US_ASCII).contains("'$type'")) { "Not a .npy of $type." }
    buffer.position(10 + length)
    return buffer.slice().order(ByteOrder.LITTLE_ENDIAN)
}
