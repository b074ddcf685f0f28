// Not built in Convoy's own tests: no Xcode there.
import Convoy
import ExecuTorch
import Foundation

/// model.pte or model-int8.pte in ExecuTorch with XNNPACK; inputs and outputs go by position.
public final class ExecuTorchRuntime: Runtime {
    private let module: Module
    private let crop: Int

    public init(_ url: URL, _: String, _: String, _ crop: Int) throws {
        module = Module(filePath: url.path)
        try module.load("forward")
        self.crop = crop
    }

    public func run(_ pixels: [UInt8]) throws -> [Float] {
        let tensor = Tensor<UInt8>(pixels, shape: [1, crop, crop, 3])
        return try Tensor<Float>(module.forward(tensor)).scalars()
    }
}
