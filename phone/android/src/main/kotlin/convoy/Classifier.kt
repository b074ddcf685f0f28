// Not built in Convoy's own tests: no Android SDK there.
package convoy

import java.io.File
import kotlin.math.abs

/** What runs a file: uint8 [crop * crop * 3] → float32 [K]. Softmax and temperature are inside the file. */
interface Runtime : AutoCloseable {
    fun run(pixels: ByteArray): FloatArray
}

class Prediction(val label: String, val index: Int, val probability: Float)

/**
 * A bundle's folder at work; use it from one background thread.
 *
 * `open` gets the artefact's file, its input's and output's names and the side of the picture: OrtRuntime::open or
 * ExecuTorchRuntime::open. Throws when a checksum is wrong or the golden picture is answered otherwise than recorded.
 */
class Classifier(root: File, target: String, open: (File, String, String, Int) -> Runtime) : AutoCloseable {
    private val bundle = BundleFolder(root)
    private val runtime: Runtime
    val spec = bundle.spec

    init {
        val artefact = bundle.artefact(target)
        val input = artefact.getJSONArray("inputs").getJSONObject(0).getString("name")
        val output = artefact.getJSONArray("outputs").getJSONObject(0).getString("name")
        runtime = open(bundle.file(artefact), input, output, spec.crop)
        val (pixels, expected) = bundle.golden(artefact)
        val found = runtime.run(pixels)
        val worst = found.indices.maxOf { abs(found[it] - expected[it]) }
        val allowed = GOLDEN_TOLERANCE.getValue(artefact.getString("precision"))
        check(worst <= allowed) { "$target answers the golden picture otherwise here (by $worst, allowed $allowed)." }
    }

    /** The k most probable classes of a JPEG's, PNG's, … bytes, best first; equal ones by index. */
    fun classify(data: ByteArray, k: Int = 5): List<Prediction> {
        val found = runtime.run(preprocess(decode(data), spec))
        val order = found.indices.sortedWith(compareBy({ -found[it] }, { it }))
        return order.take(k).map { Prediction(bundle.labels[it], it, found[it]) }
    }

    override fun close() = runtime.close()
}
