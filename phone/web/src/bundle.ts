/** What the page reads of a bundle's manifest.json (docs/bundle-format.md). */

import type { Preprocess } from "./resample";

export type Precision = "fp32" | "int8";

export interface FileRecord {
  path: string;
  sha256: string;
  bytes: number;
}

export interface Artefact extends FileRecord {
  target: string;
  precision: Precision | "fp16";
  inputs: { name: string }[];
  outputs: { name: string }[];
  golden: FileRecord | null;
  accuracy: { top1: number } | null;
}

export interface Golden {
  image: FileRecord;
  tensor: FileRecord;
  probabilities: FileRecord;
  label_index: number | null;
}

export interface Manifest {
  schema_version: number;
  kind: string;
  name: string;
  version: string;
  labels: string[];
  preprocess: Preprocess;
  artefacts: Artefact[];
  golden: Golden[];
  licence: string | null;
}

/** Where a file of the bundle lies, seen from the page. */
export const bundlePath = (record: { path: string }): string => `bundle/${record.path}`;

/** The files that this page can run, by precision. */
export function runnable(manifest: Manifest): Map<Precision, Artefact> {
  const found = new Map<Precision, Artefact>();
  for (const artefact of manifest.artefacts) {
    if (artefact.target === "onnx") found.set("fp32", artefact);
    if (artefact.target === "onnx-int8") found.set("int8", artefact);
  }
  return found;
}

/** Raises: Error when it is not a bundle that this page understands. */
export function readManifest(text: string): Manifest {
  const manifest = JSON.parse(text) as Manifest;
  if (manifest.kind !== "bundle") throw new Error("bundle/manifest.json is not a bundle's manifest.");
  if (manifest.schema_version !== 1) {
    throw new Error(`The bundle's format is version ${manifest.schema_version}, this page reads version 1: update the page.`);
  }
  if (runnable(manifest).size === 0) throw new Error("The bundle has no ONNX file: export it with --to onnx,onnx-int8.");
  return manifest;
}
