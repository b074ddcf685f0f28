// Not built in Convoy's own tests: no Android SDK there. Versions: see phone/README.md.
plugins {
    id("com.android.library") version "8.13.2"
    id("org.jetbrains.kotlin.android") version "2.3.0"
}

android {
    namespace = "convoy"
    compileSdk = 36
    defaultConfig {
        minSdk = 30 // android.media.ExifInterface reads PNG and WebP from here on
    }
    androidResources {
        noCompress += listOf("onnx", "pte")
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

kotlin {
    jvmToolchain(17)
}

dependencies {
    // Keep the runtime that you use; delete the other, and OrtRuntime.kt or ExecuTorchRuntime.kt with it.
    implementation("com.microsoft.onnxruntime:onnxruntime-android:1.30.0")
    implementation("org.pytorch:executorch-android:1.5.1")
}
