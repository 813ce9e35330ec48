import path from 'node:path';
import type { EventListener } from '../events.js';
import { FigureCollector } from './run-figures.js';

/** Others read it, node_exporter for one. */
const MODE = 0o644;

/** Listens to a run, and then writes its metrics into a file. */
export class MetricsFile {
  readonly #path: string;
  readonly #collector = new FigureCollector();

  constructor(file: string) {
    this.#path = file;
  }

  readonly onEvent: EventListener = (event) => this.#collector.onEvent(event);

  /** To be called when the run is over: what it loads then delays nobody. Rejects when the file cannot be written. */
  async write(): Promise<void> {
    const { figures } = this.#collector;
    if (figures === undefined) return;
    const { toPrometheusText } = await import('./prometheus.js');
    await place(this.#path, await toPrometheusText(figures), figures.instanceId);
  }
}

/** Puts the text there at once: whoever reads meanwhile sees the old file or the new one. `id` is nobody else's. */
async function place(file: string, text: string, id: string): Promise<void> {
  const { open, realpath, rename, rm, stat } = await import('node:fs/promises'); // few runs need it
  const target = await realpath(file).catch(() => file);
  const found = await stat(target).catch(() => null);
  // To replace /dev/null, or a pipe, would be worse than to write nothing.
  if (found?.isFile() === false) throw new Error(`${file} is not a regular file`);
  // Not *.prom, which the collector would read.
  const beside = path.join(path.dirname(target), `.${path.basename(target)}.${id}`);
  try {
    const made = await open(beside, 'wx', MODE);
    try {
      await made.writeFile(text);
      await made.chmod(MODE); // whatever the umask is
    } finally {
      await made.close();
    }
    await rename(beside, target);
  } catch (error) {
    await rm(beside, { force: true }).catch(() => undefined);
    throw error;
  }
}
