// Not built in Convoy's own tests: no Xcode there.
import Convoy
import Foundation
import OnnxRuntimeBindings

/// model.onnx, model-int8.onnx or their .ort in ONNX Runtime.
public final class OrtRuntime: Runtime {
    private let environment: ORTEnv
    private let session: ORTSession
    private let input: String
    private let output: String
    private let crop: Int

    public init(_ url: URL, _ input: String, _ output: String, _ crop: Int) throws {
        environment = try ORTEnv(loggingLevel: .warning)
        session = try ORTSession(env: environment, modelPath: url.path, sessionOptions: ORTSessionOptions())
        self.input = input
        self.output = output
        self.crop = crop
    }

    public func run(_ pixels: [UInt8]) throws -> [Float] {
        let side = NSNumber(value: crop)
        let data = NSMutableData(bytes: pixels, length: pixels.count)
        let tensor = try ORTValue(tensorData: data, elementType: .uInt8, shape: [1, side, side, 3])
        let results = try session.run(withInputs: [input: tensor], outputNames: [output], runOptions: nil)
        let found = try results[output]!.tensorData() as Data // the output that was asked for
        return found.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
}
