// Pictures wait in a queue for the one worker, which is ended to cancel and replaced if it fails.

const LARGEST_TILE = 256, SMALLEST_TILE = 64; // in LR pixels, without their overlap

/** Each job has `file`, settings for the worker, and a function `hear` that is told what the worker says of it. */
export class Queue {
  constructor() {
    this.waiting = [];
    this.webgpu = true;
    this.ids = 0;
  }

  /** Start the engine before the first picture comes; `hear` is told {engine, rate} or {error}. */
  prepare(name, hear) {
    this.#add({name, hear});
  }

  add(job) {
    job.tile = LARGEST_TILE;
    this.#add(job);
  }

  get isBusy() {
    return Boolean(this.current?.file || this.waiting.some(job => job.file));
  }

  /** Take a job out; one that runs ends with its worker. */
  cancel(job) {
    this.waiting = this.waiting.filter(other => other !== job);
    if (this.current === job) {
      this.#end();
      this.#next();
    }
  }

  #add(job) {
    job.id = ++this.ids;
    this.waiting.push(job);
    if (!this.current) this.#next();
  }

  #next() {
    this.current = this.waiting.shift();
    if (!this.current) return;
    if (!this.worker) {
      this.worker = new Worker(new URL("worker.js", import.meta.url), {type: "module"});
      this.worker.onmessage = ({data}) => this.#hear(data);
      this.worker.onerror = event => {
        event.preventDefault();
        this.#hear({id: this.current?.id, error: event.message ?? "the page can't be loaded: is there a connection?"});
      };
    }
    const {hear, ...job} = this.current;
    this.worker.postMessage({...job, webgpu: this.webgpu});
  }

  #hear({id, ...message}) {
    const job = this.current;
    if (job?.id !== id) return;
    if (message.error && !message.isFinal && this.#canRetry(job)) {
      this.#end();
      this.waiting.unshift(job);
      this.#next();
      return;
    }
    const isOver = message.error || message.result || message.engine;
    if (message.error) this.#end();
    job.hear(message);
    if (isOver) this.#next();
  }

  /** Without WebGPU, whose drivers may fail, then with smaller tiles: memory may have been short. */
  #canRetry(job) {
    if (this.webgpu && "gpu" in navigator) {
      this.webgpu = false;
      return true;
    }
    if (!job.tile || job.tile <= SMALLEST_TILE) return false;
    job.tile /= 2;
    return true;
  }

  #end() {
    this.worker?.terminate();
    this.worker = this.current = undefined;
  }
}
