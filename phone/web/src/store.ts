/** Files fetched once, checked, and kept on the device for use offline. */

const NAME = "convoy-files";

export type Progress = (loaded: number, total: number) => void;

/** Absent where the page is not served over HTTPS or from localhost. */
const kept = (): CacheStorage | undefined => (globalThis as { caches?: CacheStorage }).caches;

const address = (path: string, sha256?: string): string => {
  const url = new URL(path, root());
  if (sha256) url.searchParams.set("sha256", sha256);
  return url.href;
};

let base = "";

/** A worker's own address is below assets/: the page tells it where the page is. */
export function setRoot(url: string): void {
  base = url;
}

const root = (): string => base || new URL(".", location.href).href;

/** Whether the file is on this device. */
export async function isKept(path: string, sha256?: string): Promise<boolean> {
  return (await (await kept()?.open(NAME))?.match(address(path, sha256))) !== undefined;
}

/** The file's bytes: from this device, else from the host, checked and kept.
 *
 * Raises: Error when the host has no such file or its bytes are not those that the manifest names.
 */
export async function load(path: string, sha256?: string, progress: Progress = () => {}, total = 0): Promise<ArrayBuffer> {
  const cache = await kept()?.open(NAME);
  const url = address(path, sha256);
  const found = await cache?.match(url);
  if (found) return found.arrayBuffer();
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${path}: the host answered ${response.status}.`);
  const data = await readAll(response, progress, total);
  if (sha256) await check(path, data, sha256);
  await keep(cache, url, data);
  return data;
}

/** What the host has now, else what was kept: for the one file whose content may change. `keepNow` keeps it. */
export async function loadNewest(path: string): Promise<ArrayBuffer> {
  try {
    const response = await fetch(address(path), { cache: "no-cache" });
    if (!response.ok) throw new Error(`${path}: the host answered ${response.status}.`);
    return await response.arrayBuffer();
  } catch (problem) {
    const found = await (await kept()?.open(NAME))?.match(address(path));
    if (!found) throw problem;
    return found.arrayBuffer();
  }
}

/** Keep a file for use offline: once what it speaks of is here too. */
export async function keepNow(path: string, data: ArrayBuffer): Promise<void> {
  await keep(await kept()?.open(NAME), address(path), data);
}

/** Forget what no longer belongs to the page: other bundles' files, other builds' runtimes. */
export async function forgetOthers(keepUrl: (url: URL) => boolean): Promise<void> {
  const cache = await kept()?.open(NAME);
  for (const request of (await cache?.keys()) ?? []) {
    if (request.url.startsWith(root()) && !keepUrl(new URL(request.url))) await cache!.delete(request);
  }
}

export async function sha256Of(data: ArrayBuffer): Promise<string | null> {
  if (!globalThis.crypto?.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function check(path: string, data: ArrayBuffer, expected: string): Promise<void> {
  const found = await sha256Of(data);
  if (found !== null && found !== expected) {
    throw new Error(`${path} is not the file that the manifest names (sha256 ${found.slice(0, 12)}…): load the page again.`);
  }
}

async function keep(cache: Cache | undefined, url: string, data: ArrayBuffer): Promise<void> {
  try {
    await cache?.put(url, new Response(data));
  } catch {
    // No room on the device: the page works as long as it is online.
  }
}

async function readAll(response: Response, progress: Progress, total: number): Promise<ArrayBuffer> {
  const reader = response.body?.getReader();
  if (!reader) return response.arrayBuffer();
  const parts: Uint8Array[] = [];
  let loaded = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    loaded += part.value.length;
    progress(loaded, Math.max(total, loaded));
  }
  const data = new Uint8Array(loaded);
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return data.buffer;
}
