/** The camera: one frame after the other, as fast as they are answered. */

export class Camera {
  private stream: MediaStream | null = null;

  constructor(
    private readonly video: HTMLVideoElement,
    /** Answers one frame; the next is taken when it is done. */
    private readonly look: (frame: ImageBitmap) => Promise<void>,
  ) {}

  static get offered(): boolean {
    return Boolean(navigator.mediaDevices?.getUserMedia);
  }

  get running(): boolean {
    return this.stream !== null;
  }

  /** Raises: DOMException when there is no camera or it may not be used. */
  async start(): Promise<void> {
    const wanted = { facingMode: { ideal: "environment" }, width: { ideal: 1280 }, height: { ideal: 720 } };
    this.stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    this.video.srcObject = this.stream;
    this.video.hidden = false;
    await this.video.play();
    void this.watch(this.stream);
  }

  stop(): void {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.video.srcObject = null;
    this.video.hidden = true;
  }

  private async watch(stream: MediaStream): Promise<void> {
    while (this.stream === stream) {
      await new Promise(requestAnimationFrame); // none while the page is not seen: the camera then costs nothing
      if (this.stream !== stream || this.video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) continue;
      await this.look(await createImageBitmap(this.video));
    }
  }
}
