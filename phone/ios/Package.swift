// swift-tools-version:5.9
// Not built in Convoy's own tests: no Xcode there. Versions: see phone/README.md.
import PackageDescription

let package = Package(
    name: "Convoy",
    platforms: [.iOS(.v17)], // ExecuTorch's; ONNX Runtime alone needs less
    products: [
        .library(name: "ConvoyOrt", targets: ["Convoy", "ConvoyOrt"]),
        .library(name: "ConvoyExecuTorch", targets: ["Convoy", "ConvoyExecuTorch"]),
    ],
    dependencies: [
        // Keep the runtime that you use; delete the other with its product and target.
        .package(url: "https://github.com/microsoft/onnxruntime-swift-package-manager", exact: "1.24.2"),
        .package(url: "https://github.com/pytorch/executorch.git", branch: "swiftpm-1.5.1"),
    ],
    targets: [
        .target(name: "Convoy"),
        .target(
            name: "ConvoyOrt",
            dependencies: [
                "Convoy",
                .product(name: "onnxruntime", package: "onnxruntime-swift-package-manager"),
            ]
        ),
        .target(
            name: "ConvoyExecuTorch",
            dependencies: [
                "Convoy",
                .product(name: "executorch", package: "executorch"),
                .product(name: "backend_xnnpack", package: "executorch"),
                .product(name: "kernels_optimized", package: "executorch"),
                .product(name: "kernels_quantized", package: "executorch"),
            ]
        ),
    ]
)
