/** The service worker's registration, and whether the page would open without a network now. */

/** Done when the page itself is on this device; false where that cannot be (no HTTPS). */
export async function keepThePage(): Promise<boolean> {
  if (!navigator.serviceWorker) return false;
  try {
    await navigator.serviceWorker.register("sw.js");
    await navigator.serviceWorker.ready;
    await navigator.storage?.persist?.();
    return true;
  } catch {
    return false;
  }
}
