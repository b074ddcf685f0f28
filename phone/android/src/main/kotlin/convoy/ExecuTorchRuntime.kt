// Not built in Convoy's own tests: no Android SDK there.
package convoy

import java.io.File
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/** model.pte or model-int8.pte in ExecuTorch with XNNPACK; inputs and outputs go by position. */
class ExecuTorchRuntime private constructor(private val module: Module, private val crop: Int) : Runtime {
    override fun run(pixels: ByteArray): FloatArray {
        val shape = longArrayOf(1, crop.toLong(), crop.toLong(), 3)
        val outputs = module.forward(EValue.from(Tensor.fromBlobUnsigned(pixels, shape)))
        return outputs[0].toTensor().dataAsFloatArray
    }

    override fun close() = module.destroy()

    companion object {
        @Suppress("UNUSED_PARAMETER")
        fun open(file: File, input: String, output: String, crop: Int): Runtime =
            ExecuTorchRuntime(Module.load(file.path), crop)
    }
}
