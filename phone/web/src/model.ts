/** The page's side of the model's thread. */

import { type Artefact, bundlePath, type Manifest } from "./bundle";
import type { Backend } from "./choice";
import type { Loaded } from "./runtime";
import { load, type Progress } from "./store";
import type { Answer, Job, Reply, Result } from "./worker";

interface Waiting {
  resolve: (result: Result) => void;
  reject: (problem: Error) => void;
  progress?: Progress;
}

export class Model {
  private worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private waiting = new Map<number, Waiting>();
  private next = 0;

  constructor(readonly manifest: Manifest) {
    this.worker.onmessage = ({ data }: MessageEvent<Reply>) => this.receive(data);
    this.worker.onerror = (event) => this.fail(event.message || "The model's thread ended.");
  }

  load(artefact: Artefact, backend: Backend, progress: Progress, threads?: number): Promise<Loaded> {
    const root = new URL(".", location.href).href;
    return this.ask({ kind: "load", root, manifest: this.manifest, artefact, backend, threads }, progress) as Promise<Loaded>;
  }

  /** Raises: Error with a sentence for people. A bitmap is given away. */
  classify(source: Blob | ImageBitmap, pixels = false): Promise<Answer> {
    const transfer = source instanceof ImageBitmap ? [source] : [];
    return this.ask({ kind: "classify", source, pixels }, undefined, transfer) as Promise<Answer>;
  }

  /** float32 [K] of a ready tensor. */
  run(pixels: Uint8Array): Promise<Float32Array> {
    return this.ask({ kind: "run", pixels }) as Promise<Float32Array>;
  }

  /** End the thread and begin a new one: a runtime cannot be exchanged in the same. */
  close(): void {
    this.worker.terminate();
    this.fail("The model was exchanged.");
  }

  private ask(job: Job, progress?: Progress, transfer: Transferable[] = []): Promise<Result> {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, progress });
      this.worker.postMessage({ id, job }, transfer);
    });
  }

  private receive(reply: Reply): void {
    const waiting = this.waiting.get(reply.id);
    if (!waiting) return;
    if ("progress" in reply) {
      waiting.progress?.(...reply.progress);
      return;
    }
    this.waiting.delete(reply.id);
    if ("problem" in reply) waiting.reject(new Error(reply.problem));
    else waiting.resolve(reply.result);
  }

  private fail(reason: string): void {
    for (const { reject } of this.waiting.values()) reject(new Error(reason));
    this.waiting.clear();
  }
}

/** The `k` most probable classes, best first. */
export function best(probabilities: Float32Array, k: number): { index: number; probability: number }[] {
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  return order.slice(0, k).map((index) => ({ index, probability: probabilities[index] }));
}

/** Text of a bundle's file. */
export const textOf = async (record: { path: string; sha256: string }): Promise<string> =>
  new TextDecoder().decode(await load(bundlePath(record), record.sha256));
