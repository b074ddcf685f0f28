// Not built in Convoy's own tests: no Xcode there.
import CryptoKit
import Foundation

/// Why a bundle or a picture is not taken, in a sentence for people.
public struct Problem: LocalizedError {
    public let errorDescription: String?

    init(_ sentence: String) {
        errorDescription = sentence
    }
}

struct FileRecord: Decodable {
    let path: String
    let sha256: String
}

struct TensorSpec: Decodable {
    let name: String
    let dtype: String
    let layout: String
}

struct Artefact: Decodable {
    let target: String
    let precision: String
    let path: String
    let sha256: String
    let inputs: [TensorSpec]
    let outputs: [TensorSpec]
    let golden: FileRecord?
}

struct Golden: Decodable {
    let tensor: FileRecord
    let probabilities: FileRecord
}

struct Manifest: Decodable {
    let schema_version: Int
    let kind: String
    let labels: [String]
    let preprocess: Preprocess
    let artefacts: [Artefact]
    let golden: [Golden]
}

/// Largest allowed difference of a probability from the recorded one (bundle/golden.py).
let GOLDEN_TOLERANCE: [String: Float] = ["fp32": 1e-3, "fp16": 1e-2, "int8": 0.1]

/// A bundle's folder in the app: manifest, one artefact and the golden picture (docs/bundle-format.md).
struct BundleFolder {
    let root: URL
    let manifest: Manifest

    init(_ root: URL) throws {
        self.root = root
        manifest = try JSONDecoder().decode(Manifest.self, from: Data(contentsOf: root.appendingPathComponent("manifest.json")))
        guard manifest.kind == "bundle" else { throw Problem("manifest.json is not a bundle's manifest.") }
        guard manifest.schema_version == 1 else {
            throw Problem("The bundle's format is version \(manifest.schema_version), this app reads version 1: update the app.")
        }
        guard ["bilinear", "bicubic"].contains(manifest.preprocess.interpolation) else {
            throw Problem("interpolation \(manifest.preprocess.interpolation) is not known here.")
        }
    }

    /// The record of `target` (onnx, onnx-int8, executorch, …). It must take bytes: then mean and std are inside.
    func artefact(_ target: String) throws -> Artefact {
        guard let found = manifest.artefacts.first(where: { $0.target == target }) else {
            throw Problem("The bundle has no \(target): export it with --to \(target).")
        }
        guard let input = found.inputs.first, input.dtype == "uint8", input.layout.hasPrefix("NHWC") else {
            throw Problem("\(found.path) does not take the bytes of a picture.")
        }
        return found
    }

    /// A file that the manifest names, after its checksum came out right.
    func file(_ path: String, _ sha256: String) throws -> URL {
        let url = root.appendingPathComponent(path)
        let digest = SHA256.hash(data: try Data(contentsOf: url, options: .mappedIfSafe))
        guard digest.map({ String(format: "%02x", $0) }).joined() == sha256 else {
            throw Problem("\(path) is not the file that the manifest names.")
        }
        return url
    }

    /// The golden tensor, uint8 [crop * crop * 3], and what the artefact answered to it, float32 [K].
    func golden(_ artefact: Artefact) throws -> ([UInt8], [Float]) {
        guard let picture = manifest.golden.first else { throw Problem("The bundle has no golden picture.") }
        let record = artefact.golden ?? picture.probabilities
        let answers: [Float] = try readNpy(file(record.path, record.sha256), "<f4")
        let tensor: [UInt8] = try readNpy(file(picture.tensor.path, picture.tensor.sha256), "|u1")
        return (tensor, Array(answers.prefix(manifest.labels.count)))
    }
}

/// The data of a .npy; `Element` is what `type` names.
func readNpy<Element>(_ url: URL, _ type: String) throws -> [Element] {
    let data = [UInt8](try Data(contentsOf: url))
    let length = Int(data[8]) + Int(data[9]) * 256
    guard String(decoding: data[10 ..< 10 + length], as: UTF8.self).contains("'\(type)'") else {
        throw Problem("\(url.lastPathComponent) is not a .npy of \(type).")
    }
    let body = Data(data[(10 + length)...])
    return [Element](unsafeUninitializedCapacity: body.count / MemoryLayout<Element>.stride) { buffer, count in
        count = body.copyBytes(to: buffer) / MemoryLayout<Element>.stride
    }
}
