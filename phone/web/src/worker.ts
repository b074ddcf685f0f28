/** The model's own thread: decoding, resizing and computing never hold up the page. */

import { type Artefact, type Manifest } from "./bundle";
import type { Backend } from "./choice";
import { openBitmap, openPicture } from "./picture";
import { preprocess } from "./resample";
import { type Loaded, Runtime } from "./runtime";
import { setRoot } from "./store";

export interface Stages {
  decode: number;
  preprocess: number;
  infer: number;
}

export interface Answer {
  /** float32 [K]. */
  probabilities: Float32Array;
  /** uint8 [crop, crop, 3]; only where it was asked for. */
  pixels: Uint8Array | null;
  size: [number, number];
  ms: Stages;
}

export type Job =
  | { kind: "load"; root: string; manifest: Manifest; artefact: Artefact; backend: Backend; threads?: number }
  | { kind: "classify"; source: Blob | ImageBitmap; pixels: boolean }
  | { kind: "run"; pixels: Uint8Array };

export type Result = Loaded | Answer | Float32Array;
export type Reply = { id: number; progress: [number, number] } | { id: number; result: Result } | { id: number; problem: string };

const port = self as unknown as DedicatedWorkerGlobalScope;
let runtime: Runtime | null = null;
let manifest: Manifest | null = null;
let last: Promise<void> = Promise.resolve();

async function work(id: number, job: Job): Promise<Result> {
  if (job.kind === "load") {
    setRoot(job.root);
    await runtime?.close();
    runtime = null;
    manifest = job.manifest;
    const progress = (loaded: number, total: number): void => send({ id, progress: [loaded, total] });
    runtime = await Runtime.open(job.manifest, job.artefact, job.backend, progress, job.threads);
    return runtime.loaded;
  }
  if (!runtime || !manifest) throw new Error("The model is not loaded.");
  return job.kind === "run" ? runtime.run(job.pixels) : classify(runtime, manifest, job.source, job.pixels);
}

async function classify(model: Runtime, { preprocess: spec }: Manifest, source: Blob | ImageBitmap, wanted: boolean): Promise<Answer> {
  const start = performance.now();
  const bitmap = await openBitmap(source);
  try {
    const picture = await openPicture(bitmap, source);
    const decoded = performance.now();
    const pixels = preprocess(picture, spec);
    const prepared = performance.now();
    const probabilities = await model.run(pixels);
    const ms = { decode: decoded - start, preprocess: prepared - decoded, infer: performance.now() - prepared };
    return { probabilities, pixels: wanted ? pixels : null, size: [bitmap.width, bitmap.height], ms };
  } finally {
    bitmap.close();
  }
}

function send(reply: Reply): void {
  port.postMessage(reply);
}

port.onmessage = ({ data: { id, job } }: MessageEvent<{ id: number; job: Job }>) => {
  // One after the other: a session takes one call at a time.
  last = last.then(() =>
    work(id, job).then(
      (result) => send({ id, result }),
      (problem: unknown) => send({ id, problem: problem instanceof Error ? problem.message : String(problem) }),
    ),
  );
};
