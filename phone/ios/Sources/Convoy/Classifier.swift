// Not built in Convoy's own tests: no Xcode there.
import Foundation

/// What runs a file: uint8 [crop * crop * 3] → float32 [K]. Softmax and temperature are inside the file.
public protocol Runtime {
    func run(_ pixels: [UInt8]) throws -> [Float]
}

public struct Prediction {
    public let label: String
    public let index: Int
    public let probability: Float
}

/// A bundle's folder at work; use it from one background queue.
public final class Classifier {
    private let bundle: BundleFolder
    private let runtime: Runtime

    /// `open` gets the artefact's file, its input's and output's names and the side of the picture:
    /// OrtRuntime.init or ExecuTorchRuntime.init. Throws when a checksum is wrong or the golden picture is answered
    /// otherwise than recorded.
    public init(_ root: URL, target: String, open: (URL, String, String, Int) throws -> Runtime) throws {
        bundle = try BundleFolder(root)
        let artefact = try bundle.artefact(target)
        guard let output = artefact.outputs.first else { throw Problem("\(artefact.path) has no output.") }
        let url = try bundle.file(artefact.path, artefact.sha256)
        runtime = try open(url, artefact.inputs[0].name, output.name, bundle.manifest.preprocess.crop)
        let (pixels, expected) = try bundle.golden(artefact)
        let found = try runtime.run(pixels)
        let worst = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
        let allowed = GOLDEN_TOLERANCE[artefact.precision] ?? 0
        guard worst <= allowed else {
            throw Problem("\(target) answers the golden picture otherwise here (by \(worst), allowed \(allowed)).")
        }
    }

    /// The k most probable classes of a JPEG's, PNG's, … bytes, best first; equal ones by index.
    public func classify(_ data: Data, k: Int = 5) throws -> [Prediction] {
        let found = try runtime.run(preprocess(decode(data), bundle.manifest.preprocess))
        let order = found.indices.sorted { (-found[$0], $0) < (-found[$1], $1) }
        return order.prefix(k).map { Prediction(label: bundle.manifest.labels[$0], index: $0, probability: found[$0]) }
    }

    /// Compares this device's decoding and the preprocessing with the kit that `convoy phone` made (its conformance/).
    public func compareKit(_ kit: URL) throws -> [Outcome] {
        try convoyKit(kit).map { compare(kit, $0, bundle.manifest.preprocess) }
    }
}
