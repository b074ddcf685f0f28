/** NumPy's .npy, of the two kinds that a bundle has: uint8 and little-endian float32, in C order. */

const MAGIC = "\x93NUMPY";

export interface NpyArray<T> {
  shape: number[];
  data: T;
}

/** Raises: Error for anything else. */
export function readNpy(buffer: ArrayBuffer): NpyArray<Uint8Array | Float32Array> {
  const view = new DataView(buffer);
  const magic = String.fromCharCode(...new Uint8Array(buffer, 0, 6));
  if (magic !== MAGIC) throw new Error("not a .npy file");
  const wide = view.getUint8(6) >= 2;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const start = (wide ? 12 : 10) + length;
  const header = new TextDecoder("latin1").decode(new Uint8Array(buffer, start - length, length));
  const type = /'descr': '([^']+)'/.exec(header)?.[1];
  const shape = (/'shape': \(([^)]*)\)/.exec(header)?.[1] ?? "").split(",").filter((part) => part.trim()).map(Number);
  const count = shape.reduce((product, size) => product * size, 1);
  if (/'fortran_order': True/.test(header)) throw new Error("a .npy file in Fortran order");
  if (type === "|u1") return { shape, data: new Uint8Array(buffer, start, count) };
  if (type === "<f4") return { shape, data: new Float32Array(buffer.slice(start, start + 4 * count)) };
  throw new Error(`a .npy file of ${type}`);
}
