// Not built in Convoy's own tests: no Android SDK there.
package convoy

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.io.File
import java.nio.ByteBuffer

/** model.onnx, model-int8.onnx or their .ort in ONNX Runtime. */
class OrtRuntime private constructor(
    private val session: OrtSession,
    private val input: String,
    private val output: String,
    private val crop: Int,
) : Runtime {
    override fun run(pixels: ByteArray): FloatArray {
        val buffer = ByteBuffer.allocateDirect(pixels.size).put(pixels)
        buffer.rewind()
        val shape = longArrayOf(1, crop.toLong(), crop.toLong(), 3)
        val environment = OrtEnvironment.getEnvironment()
        OnnxTensor.createTensor(environment, buffer, shape, OnnxJavaType.UINT8).use { tensor ->
            session.run(mapOf(input to tensor), setOf(output)).use { results ->
                val probabilities = (results[0] as OnnxTensor).floatBuffer
                return FloatArray(probabilities.remaining()).also(probabilities::get)
            }
        }
    }

    override fun close() = session.close()

    companion object {
        fun open(file: File, input: String, output: String, crop: Int): Runtime {
            val session = OrtEnvironment.getEnvironment().createSession(file.path, OrtSession.SessionOptions())
            return OrtRuntime(session, input, output, crop)
        }
    }
}
