/** Pillow's antialiased resize in its own 8-bit fixed-point arithmetic, so that every pixel comes out the same.
 *
 * Pillow resamples in two passes and rounds to 8 bits after each. Every pixel of the result depends on its own row and
 * column alone, so only the crop's part is computed. `bundle/preprocess.py` is what it equals.
 */

export type Interpolation = "bilinear" | "bicubic";

export interface Preprocess {
  resize: number;
  crop: number;
  interpolation: Interpolation;
}

/** A picture that is read in parts: RGBA, 8 bits, row by row. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  read(left: number, top: number, width: number, height: number): Uint8ClampedArray;
}

/** Bits behind the point: 8 for the pixel and 2 for sums that leave 0..255 are kept free of 32. */
const PRECISION_BITS = 32 - 8 - 2;
const HALF = 1 << (PRECISION_BITS - 1);
/** Beyond this aspect ratio only the crop's own part is resized, as bundle/preprocess.py does. */
const MAX_ASPECT = 64;
/** Pixels that are read at a time. */
const STRIP_PIXELS = 1 << 20;

interface Kernel {
  support: number;
  weight(distance: number): number;
}

const KERNELS: Record<Interpolation, Kernel> = {
  bilinear: { support: 1, weight: (x) => (Math.abs(x) < 1 ? 1 - Math.abs(x) : 0) },
  bicubic: { support: 2, weight: cubic },
};

/** Keys' cubic with a = -0.5, in Pillow's order of operations. */
function cubic(distance: number): number {
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/** For each output pixel: the first input pixel, how many there are, and their fixed-point weights. */
interface Taps {
  starts: Int32Array;
  counts: Int32Array;
  weights: Int32Array;
  stride: number;
}

/** The taps of output pixels `first`..`first + count` of `outSize`, which cover `from`..`to` of `inSize` pixels. */
function taps(inSize: number, from: number, to: number, outSize: number, kernel: Kernel, first: number, count: number): Taps {
  const scale = Math.fround(to - from) / outSize;
  const filterScale = Math.max(1, scale);
  const support = kernel.support * filterScale;
  const inverse = 1 / filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const found: Taps = {
    starts: new Int32Array(count),
    counts: new Int32Array(count),
    weights: new Int32Array(count * stride),
    stride,
  };
  const exact = new Float64Array(stride);
  for (let index = 0; index < count; index++) {
    const centre = from + (first + index + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(inSize, Math.trunc(centre + support + 0.5));
    let sum = 0;
    for (let tap = 0; tap < end - start; tap++) {
      exact[tap] = kernel.weight((tap + start - centre + 0.5) * inverse);
      sum += exact[tap];
    }
    found.starts[index] = start;
    found.counts[index] = end - start;
    for (let tap = 0; tap < end - start; tap++) {
      const share = sum === 0 ? exact[tap] : exact[tap] / sum;
      found.weights[index * stride + tap] = Math.trunc((share < 0 ? -0.5 : 0.5) + share * (1 << PRECISION_BITS));
    }
  }
  return found;
}

function clip(sum: number): number {
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/** [start, end) of the input pixels that the taps reach. */
function reach(found: Taps): [number, number] {
  let start = Infinity;
  let end = 0;
  for (let index = 0; index < found.starts.length; index++) {
    start = Math.min(start, found.starts[index]);
    end = Math.max(end, found.starts[index] + found.counts[index]);
  }
  return [start, end];
}

/** Whether Pillow (from 13.0 on) resamples the rows first: where the height shrinks by much more than the width. */
function rowsFirst(picture: Picture, width: number, height: number): boolean {
  return picture.height > height && picture.height - height > 2 * (picture.width - width);
}

/** Calls `use` with the picture's rows from `top` to `bottom`, a strip at a time: its RGBA, first row, and how many. */
function inStrips(picture: Picture, [left, right]: [number, number], [top, bottom]: [number, number], use: (strip: Uint8ClampedArray, from: number, count: number) => void): void {
  const step = Math.max(1, Math.floor(STRIP_PIXELS / (right - left)));
  for (let from = top; from < bottom; from += step) {
    const count = Math.min(step, bottom - from);
    use(picture.read(left, from, right - left, count), from, count);
  }
}

/** RGB [rows of the crop, columns of the crop], rows first. */
function rowsThenColumns(picture: Picture, across: Taps, down: Taps): Uint8Array {
  const reached = reach(across);
  const columns = reached[1] - reached[0];
  const rows = down.starts.length;
  const sums = new Int32Array(rows * columns * 4).fill(HALF);
  inStrips(picture, reached, reach(down), (strip, from, count) => {
    for (let row = 0; row < rows; row++) {
      const first = Math.max(down.starts[row], from);
      const end = Math.min(down.starts[row] + down.counts[row], from + count);
      for (let y = first; y < end; y++) {
        const weight = down.weights[row * down.stride + y - down.starts[row]];
        const source = (y - from) * columns * 4;
        const target = row * columns * 4;
        for (let index = 0; index < columns * 4; index++) sums[target + index] += strip[source + index] * weight;
      }
    }
  });
  const between = Uint8ClampedArray.from(sums, clip);
  const result = new Uint8Array(rows * across.starts.length * 3);
  for (let row = 0; row < rows; row++) {
    resampleRow(between, row * columns, reached[0], across, result, row * across.starts.length * 3);
  }
  return result;
}

/** RGB [rows reached, columns of the crop] of the needed part of the picture. */
function columnsPass(picture: Picture, across: Taps, rows: [number, number]): Uint8Array {
  const columns = across.starts.length;
  const reached = reach(across);
  const width = reached[1] - reached[0];
  const result = new Uint8Array((rows[1] - rows[0]) * columns * 3);
  inStrips(picture, reached, rows, (strip, from, count) => {
    for (let row = 0; row < count; row++) {
      resampleRow(strip, row * width, reached[0], across, result, (from - rows[0] + row) * columns * 3);
    }
  });
  return result;
}

function resampleRow(strip: Uint8ClampedArray, base: number, left: number, across: Taps, result: Uint8Array, at: number): void {
  const { starts, counts, weights, stride } = across;
  for (let column = 0; column < starts.length; column++) {
    let [red, green, blue] = [HALF, HALF, HALF];
    let source = (base + starts[column] - left) * 4;
    const first = column * stride;
    for (let tap = first; tap < first + counts[column]; tap++, source += 4) {
      const weight = weights[tap];
      red += strip[source] * weight;
      green += strip[source + 1] * weight;
      blue += strip[source + 2] * weight;
    }
    result[at++] = clip(red);
    result[at++] = clip(green);
    result[at++] = clip(blue);
  }
}

/** RGB [rows of the crop, columns of the crop] from what `columnsPass` gave; `top` is its first row. */
function rowsPass(source: Uint8Array, down: Taps, top: number, rowBytes: number): Uint8Array {
  const rows = down.starts.length;
  const result = new Uint8Array(rows * rowBytes);
  const sums = new Int32Array(rowBytes);
  for (let row = 0; row < rows; row++) {
    sums.fill(HALF);
    for (let tap = 0; tap < down.counts[row]; tap++) {
      const weight = down.weights[row * down.stride + tap];
      const base = (down.starts[row] + tap - top) * rowBytes;
      for (let index = 0; index < rowBytes; index++) sums[index] += source[base + index] * weight;
    }
    for (let index = 0; index < rowBytes; index++) result[row * rowBytes + index] = clip(sums[index]);
  }
  return result;
}

/** [width, height] once the short side has `short` pixels; the long side is rounded down. */
export function resizedSize(width: number, height: number, short: number): [number, number] {
  return width <= height
    ? [short, Math.trunc((short * height) / width)]
    : [Math.trunc((short * width) / height), short];
}

/** Python's round(): a half goes to the even neighbour. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}

/** uint8 [crop, crop, 3] RGB of an upright picture: short side to `resize`, centre `crop`. */
export function preprocess(picture: Picture, spec: Preprocess): Uint8Array {
  const kernel = KERNELS[spec.interpolation];
  const { crop } = spec;
  const [width, height] = resizedSize(picture.width, picture.height, spec.resize);
  const left = roundHalfEven((width - crop) / 2);
  const top = roundHalfEven((height - crop) / 2);
  const whole = Math.max(width, height) <= MAX_ASPECT * spec.resize;
  const [x, y] = [picture.width / width, picture.height / height];
  const box = [left * x, top * y, (left + crop) * x, (top + crop) * y].map(Math.fround);
  const across = whole
    ? taps(picture.width, 0, picture.width, width, kernel, left, crop)
    : taps(picture.width, box[0], box[2], crop, kernel, 0, crop);
  const down = whole
    ? taps(picture.height, 0, picture.height, height, kernel, top, crop)
    : taps(picture.height, box[1], box[3], crop, kernel, 0, crop);
  if (whole ? rowsFirst(picture, width, height) : rowsFirst(picture, crop, crop)) {
    return rowsThenColumns(picture, across, down);
  }
  const rows = reach(down);
  return rowsPass(columnsPass(picture, across, rows), down, rows[0], crop * 3);
}
