/** A file or a camera frame → an upright picture on white, as bundle/image.py and bundle/large.py make it. */

import type { Picture } from "./resample";

/** Above this a picture is averaged down while it is read (bundle/large.py). */
const LARGE_PIXELS = 4096 * 4096;
const KEPT_SHORT_SIDE = 1024;
const MAX_PIXELS = 50_000_000;

export class PictureProblem extends Error {}

/** Decode; the caller closes the bitmap. Raises: PictureProblem. */
export async function openBitmap(source: Blob | ImageBitmap): Promise<ImageBitmap> {
  if (source instanceof ImageBitmap) return source;
  if (source.size === 0) throw new PictureProblem("The file is empty.");
  try {
    return await createImageBitmap(source, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    const type = source.type && !source.type.startsWith("image/") ? ` (it is ${source.type})` : "";
    throw new PictureProblem(`This browser cannot read the file as a picture${type}. JPEG, PNG, WebP, GIF and BMP work.`);
  }
}

/** The bitmap's pixels on white; large ones averaged down. Raises: PictureProblem. */
export async function openPicture(bitmap: ImageBitmap, source: Blob | ImageBitmap): Promise<Picture> {
  const pixels = bitmap.width * bitmap.height;
  if (pixels > MAX_PIXELS) {
    throw new PictureProblem(`The picture has ${bitmap.width}×${bitmap.height} pixels; 50 million are the limit.`);
  }
  const whole = new OnWhite(bitmap);
  if (pixels <= LARGE_PIXELS) return whole;
  const factor = Math.max(2, Math.floor(Math.min(bitmap.width, bitmap.height) / KEPT_SHORT_SIDE));
  // A large JPEG is decoded to 1/2, 1/4 or 1/8 in Python; its average is the nearest thing a browser has.
  const jpeg = source instanceof Blob && (await isJpeg(source));
  return new Averaged(whole, jpeg ? 2 ** Math.min(3, Math.floor(Math.log2(factor))) : factor);
}

async function isJpeg(file: Blob): Promise<boolean> {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  return first === 0xff && second === 0xd8;
}

/** RGBA of a bitmap; what shines through is white. */
class OnWhite implements Picture {
  readonly width: number;
  readonly height: number;
  private canvas = new OffscreenCanvas(1, 1);
  private context = this.canvas.getContext("2d", { willReadFrequently: true })!;
  private exact: Unmultiplied | null = null;

  constructor(private readonly bitmap: ImageBitmap) {
    this.width = bitmap.width;
    this.height = bitmap.height;
  }

  read(left: number, top: number, width: number, height: number): Uint8ClampedArray {
    if (this.canvas.width !== width || this.canvas.height < height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.context.globalCompositeOperation = "copy";
    this.context.drawImage(this.bitmap, left, top, width, height, 0, 0, width, height);
    let data = this.context.getImageData(0, 0, width, height).data;
    if (!seeThrough(data)) return data;
    // A 2D canvas keeps colours multiplied by their alpha, in 8 bits; a texture keeps them as they are in the file.
    this.exact ??= Unmultiplied.of(this.bitmap);
    data = this.exact?.read(left, top, width, height) ?? data;
    blendOnWhite(data);
    return data;
  }
}

function seeThrough(data: Uint8ClampedArray): boolean {
  for (let index = 3; index < data.length; index += 4) if (data[index] !== 255) return true;
  return false;
}

/** Pillow's blend: (colour * alpha + white * (255 - alpha)) / 255, rounded. */
function blendOnWhite(data: Uint8ClampedArray): void {
  for (let index = 0; index < data.length; index += 4) {
    const alpha = data[index + 3];
    if (alpha === 255) continue;
    for (let channel = index; channel < index + 3; channel++) {
      const sum = data[channel] * alpha + 255 * (255 - alpha) + 128;
      data[channel] = ((sum >> 8) + sum) >> 8;
    }
    data[index + 3] = 255;
  }
}

/** Reads a bitmap through a WebGL texture, which multiplies nothing by alpha. */
class Unmultiplied {
  private constructor(private readonly gl: WebGL2RenderingContext) {}

  /** None where there is no WebGL or the picture is larger than a texture may be. */
  static of(bitmap: ImageBitmap): Unmultiplied | null {
    const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
    if (!gl || Math.max(bitmap.width, bitmap.height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
    const texture = gl.getParameter(gl.TEXTURE_BINDING_2D) as WebGLTexture;
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    return gl.checkFramebufferStatus(gl.FRAMEBUFFER) === gl.FRAMEBUFFER_COMPLETE ? new Unmultiplied(gl) : null;
  }

  read(left: number, top: number, width: number, height: number): Uint8ClampedArray<ArrayBuffer> {
    const data = new Uint8ClampedArray(width * height * 4);
    const view = new Uint8Array(data.buffer);
    this.gl.readPixels(left, top, width, height, this.gl.RGBA, this.gl.UNSIGNED_BYTE, view);
    return data;
  }
}

/** Blocks of `factor` x `factor` pixels averaged, those at the right and bottom edge of what is left. */
class Averaged implements Picture {
  readonly width: number;
  readonly height: number;

  constructor(
    private readonly whole: Picture,
    private readonly factor: number,
  ) {
    this.width = Math.ceil(whole.width / factor);
    this.height = Math.ceil(whole.height / factor);
  }

  read(left: number, top: number, width: number, height: number): Uint8ClampedArray {
    const result = new Uint8ClampedArray(width * height * 4).fill(255);
    for (let row = 0; row < height; row++) this.readRow(left, top + row, width, result, row * width * 4);
    return result;
  }

  private readRow(left: number, row: number, width: number, result: Uint8ClampedArray, at: number): void {
    const { factor, whole } = this;
    const rows = Math.min(factor, whole.height - row * factor);
    const columns = Math.min(width * factor, whole.width - left * factor);
    const source = whole.read(left * factor, row * factor, columns, rows);
    for (let block = 0; block < width; block++) {
      const across = Math.min(factor, columns - block * factor);
      const count = across * rows;
      const reciprocal = Math.floor(2 ** 24 / count);
      for (let channel = 0; channel < 3; channel++) {
        let sum = count >> 1;
        for (let y = 0; y < rows; y++) {
          const base = (y * columns + block * factor) * 4 + channel;
          for (let x = 0; x < across; x++) sum += source[base + 4 * x];
        }
        result[at + block * 4 + channel] = Math.floor((sum * reciprocal) / 2 ** 24);
      }
    }
  }
}
