// Not built in Convoy's own tests: no Xcode there.
import Foundation

/// A picture of the conformance kit: the largest difference of a pixel from Python's, or why it was not read.
public struct Outcome {
    public let picture: String
    public let worst: Int?
    public let problem: String?
}

struct KitCase: Decodable {
    let name: String
    let image: String
    let tensor: String
}

private struct Kit: Decodable {
    let cases: [KitCase]
}

func convoyKit(_ kit: URL) throws -> [KitCase] {
    try JSONDecoder().decode(Kit.self, from: Data(contentsOf: kit.appendingPathComponent("cases.json"))).cases
}

func compare(_ kit: URL, _ one: KitCase, _ spec: Preprocess) -> Outcome {
    do {
        let found = preprocess(try decode(Data(contentsOf: kit.appendingPathComponent(one.image))), spec)
        let expected: [UInt8] = try readNpy(kit.appendingPathComponent(one.tensor), "|u1")
        let worst = zip(found, expected).map { abs(Int($0) - Int($1)) }.max()
        return Outcome(picture: one.name, worst: worst, problem: nil)
    } catch {
        return Outcome(picture: one.name, worst: nil, problem: error.localizedDescription)
    }
}
