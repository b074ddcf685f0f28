/** onnxruntime-web: the file's session, proven on one golden picture before it answers anything. */

import type * as Ort from "onnxruntime-web";
import wasmGlue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import wasmFile from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import gpuGlue from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url";
import gpuFile from "onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url";
import { type Artefact, bundlePath, type Manifest } from "./bundle";
import type { Backend } from "./choice";
import { readNpy } from "./npy";
import { load, type Progress } from "./store";

/** Largest allowed difference of a probability from the recorded one (bundle/golden.py). */
const GOLDEN_TOLERANCE = { fp32: 1e-3, fp16: 1e-2, int8: 0.1 };
const MAX_THREADS = 4;
/** Bytes of the runtimes' files, from the build, for the progress bar alone. */
declare const __RUNTIME_BYTES__: Record<Backend, number>;

/** The runtimes' files as this build names them. */
export const RUNTIME_FILES: Record<Backend, { glue: string; file: string }> = {
  wasm: { glue: wasmGlue, file: wasmFile },
  webgpu: { glue: gpuGlue, file: gpuFile },
};

export interface Loaded {
  backend: Backend;
  threads: number;
  /** Largest difference of a probability of the golden picture. */
  golden: number;
  /** Milliseconds to make the session and warm it up, without the download. */
  startMs: number;
}

export class Runtime {
  private constructor(
    private readonly ort: typeof Ort,
    private readonly session: Ort.InferenceSession,
    private readonly artefact: Artefact,
    private readonly crop: number,
    readonly loaded: Loaded,
  ) {}

  /** `wanted` threads, or as many as suit this device. Raises: Error when a file is missing or wrong, or the golden
   * picture is answered otherwise. */
  static async open(manifest: Manifest, artefact: Artefact, backend: Backend, progress: Progress, wanted?: number): Promise<Runtime> {
    const ort = backend === "webgpu" ? await import("onnxruntime-web/webgpu") : await import("onnxruntime-web/wasm");
    const { glue, file } = RUNTIME_FILES[backend];
    const total = __RUNTIME_BYTES__[backend] + artefact.bytes;
    const binary = await load(file, undefined, (loaded) => progress(loaded, total));
    const model = await load(bundlePath(artefact), artefact.sha256, (loaded) => progress(binary.byteLength + loaded, total));
    const suitable = wanted ?? Math.min(MAX_THREADS, Math.ceil(navigator.hardwareConcurrency / 2));
    const threads = globalThis.crossOriginIsolated ? suitable : 1;
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmBinary = binary;
    ort.env.wasm.wasmPaths = { mjs: new URL(glue, location.href).href };
    ort.env.logLevel = "error";
    const start = performance.now();
    const session = await ort.InferenceSession.create(new Uint8Array(model), {
      executionProviders: [backend],
      graphOptimizationLevel: "all",
    });
    const loaded = { backend, threads, golden: NaN, startMs: 0 };
    const runtime = new Runtime(ort, session, artefact, manifest.preprocess.crop, loaded);
    loaded.golden = await runtime.prove(manifest);
    loaded.startMs = performance.now() - start;
    return runtime;
  }

  /** float32 [K] of uint8 [crop, crop, 3]. */
  async run(pixels: Uint8Array): Promise<Float32Array> {
    const tensor = new this.ort.Tensor("uint8", pixels, [1, this.crop, this.crop, 3]);
    const results = await this.session.run({ [this.artefact.inputs[0].name]: tensor });
    return (await results[this.artefact.outputs[0].name].getData()) as Float32Array;
  }

  async close(): Promise<void> {
    await this.session.release();
  }

  private async prove(manifest: Manifest): Promise<number> {
    const [golden] = manifest.golden;
    const pixels = readNpy(await load(bundlePath(golden.tensor), golden.tensor.sha256)).data as Uint8Array;
    const record = this.artefact.golden ?? golden.probabilities;
    const expected = readNpy(await load(bundlePath(record), record.sha256)).data as Float32Array;
    const found = await this.run(pixels);
    const difference = found.reduce((largest, value, index) => {
      const distance = Math.abs(value - expected[index]);
      return distance <= largest ? largest : distance; // NaN stays
    }, 0);
    const tolerance = GOLDEN_TOLERANCE[this.artefact.precision];
    if (!(difference <= tolerance)) {
      throw new Error(`${this.artefact.path} answers the golden picture otherwise here (by ${difference.toPrecision(2)}, allowed ${tolerance}).`);
    }
    return difference;
  }
}
