/** Which file runs where, and why: the rule of docs/phone.md, in one place. */

import type { Artefact, Precision } from "./bundle";

export type Backend = "wasm" | "webgpu";
/** What the user may ask for; `auto` is the rule. */
export type Wish = "auto" | "int8" | "fp32" | "webgpu";

export interface Circumstances {
  files: Map<Precision, Artefact>;
  /** Precisions whose file is already on this device. */
  kept: Set<Precision>;
  gpu: boolean;
  /** Known to be fast and not metered. */
  fastLink: boolean;
}

export interface Choice {
  precision: Precision;
  backend: Backend;
  why: string;
}

const FAST_MBIT = 5;

interface Connection {
  effectiveType?: string;
  downlink?: number;
  saveData?: boolean;
}

/** Whether the browser says that the link is fast and nobody asked to save data. Safari and Firefox do not say. */
export function fastLink(connection: Connection | undefined): boolean {
  if (!connection || connection.saveData) return false;
  return connection.effectiveType === "4g" && (connection.downlink ?? 0) >= FAST_MBIT;
}

export function wishes(files: Map<Precision, Artefact>, gpu: boolean): Wish[] {
  const found: Wish[] = ["auto"];
  if (files.has("int8")) found.push("int8");
  if (files.has("fp32")) found.push("fp32");
  if (files.has("fp32") && gpu) found.push("webgpu");
  return found;
}

export function choose(wish: Wish, { files, kept, gpu, fastLink }: Circumstances): Choice {
  if (wish === "webgpu" && gpu && files.has("fp32")) {
    return { precision: "fp32", backend: "webgpu", why: "because you chose it" };
  }
  if ((wish === "int8" || wish === "fp32") && files.has(wish)) {
    return { precision: wish, backend: "wasm", why: "because you chose it" };
  }
  const only = [...files.keys()][0];
  if (files.size === 1) {
    return { precision: only, backend: "wasm", why: "because the bundle has no other" };
  }
  const gpuWins = gpu && (fastLink || kept.has("fp32"));
  if (gpuWins) {
    return { precision: "fp32", backend: "webgpu", why: "because there is a GPU, which computes in floating point" };
  }
  if (kept.has("fp32")) {
    return { precision: "fp32", backend: "wasm", why: "because it is on this device already, and faster than int8 in WebAssembly" };
  }
  if (fastLink) {
    return { precision: "fp32", backend: "wasm", why: "because it is faster than int8 in WebAssembly, and this connection is fast" };
  }
  return { precision: "int8", backend: "wasm", why: "because it is about a quarter of fp32's download, and this connection is not known to be fast" };
}
