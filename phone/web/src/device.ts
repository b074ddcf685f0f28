/** What this device has: the bundle's manifest, the files that are kept, a GPU, a fast link. */

import { type Artefact, bundlePath, type Manifest, type Precision, readManifest, runnable } from "./bundle";
import { type Backend, type Circumstances, fastLink } from "./choice";
import { forgetOthers, isKept, keepNow, loadNewest, sha256Of } from "./store";

export interface Bundle {
  manifest: Manifest;
  /** sha256 of the manifest; null where the browser does not compute it (no HTTPS). */
  id: string | null;
  /** Its bytes, as they came. */
  data: ArrayBuffer;
}

const MANIFEST = "bundle/manifest.json";

/** Raises: Error with a sentence for people. */
export async function openBundle(): Promise<Bundle> {
  const data = await loadNewest(MANIFEST);
  return { manifest: readManifest(new TextDecoder().decode(data)), id: await sha256Of(data), data };
}

export async function circumstances(files: Map<Precision, Artefact>): Promise<Circumstances> {
  const kept = new Set<Precision>();
  for (const [precision, artefact] of files) if (await isKept(bundlePath(artefact), artefact.sha256)) kept.add(precision);
  const connection = (navigator as { connection?: object }).connection;
  return { files, kept, gpu: await hasGpu(), fastLink: fastLink(connection) };
}

/** Whether a real one answers: a GPU that the processor plays would be slower than WebAssembly. */
async function hasGpu(): Promise<boolean> {
  try {
    const adapter = await (navigator as NavigatorWithGpu).gpu?.requestAdapter();
    return adapter != null && !adapter.info?.isFallbackAdapter;
  } catch {
    return false;
  }
}

interface NavigatorWithGpu {
  gpu?: { requestAdapter(): Promise<{ info?: { isFallbackAdapter?: boolean } } | null> };
}

/** Keep the manifest, now that its model works; free the room of another bundle's, choice's or build's files.
 *
 * In this order: a new bundle that cannot be loaded leaves the old one for use offline.
 */
export async function settle({ manifest, data }: Bundle, used: Artefact, runtimes: Record<Backend, { file: string }>, backend: Backend): Promise<void> {
  await keepNow(MANIFEST, data);
  const wanted = new Set(manifest.golden.flatMap((golden) => [golden.tensor.sha256, golden.probabilities.sha256, golden.image.sha256]));
  for (const artefact of runnable(manifest).values()) if (artefact.golden) wanted.add(artefact.golden.sha256);
  wanted.add(used.sha256);
  const runtime = new URL(runtimes[backend].file, location.href).pathname;
  await forgetOthers((url) => {
    const sha256 = url.searchParams.get("sha256");
    if (sha256) return wanted.has(sha256);
    return url.pathname.endsWith(`/${MANIFEST}`) || url.pathname === runtime || url.pathname.includes("/conformance/");
  });
}
