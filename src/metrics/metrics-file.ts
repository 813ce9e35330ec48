import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { EventListener } from '../events/events.js';
import { isTrustedOwner } from '../system/file-owner.js';
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

  /** To be called after the run, so that loading its modules does not delay it. Rejects when the file cannot be written. */
  async write(): Promise<void> {
    const { figures } = this.#collector;
    if (figures === undefined) return;
    const { toPrometheusText } = await import('./prometheus.js');
    await place(this.#path, await toPrometheusText(figures));
  }
}

/**
 * Puts the text there at once: readers see the old file or the new one. The folder may be one that others can write (/tmp):
 * the new file is made under a name that nobody can guess, and only if nothing has that name. A link that is ours or root's
 * is followed; when somebody puts another one there after our look, the rename replaces it, and not what it leads to.
 */
async function place(file: string, text: string): Promise<void> {
  const { constants, lstat, open, rename, rm } = await import('node:fs/promises'); // few runs need it
  const { followOwnLinks } = await import('./own-links.js');
  const target = await followOwnLinks(file);
  const found = await lstat(target).catch(() => null);
  // To replace /dev/null, or a pipe, would be worse than to write nothing.
  if (found?.isFile() === false) throw new Error(`${file} is not a regular file`);
  if (found !== null && !isTrustedOwner(found.uid)) {
    throw new Error(
      `${target} belongs to another user (uid ${found.uid}); remove it, or write into a folder that only you can write`,
    );
  }
  // Not *.prom, which the collector would read.
  const beside = path.join(
    path.dirname(target),
    `.${path.basename(target)}.${randomBytes(12).toString('hex')}`,
  );
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
  const made = await open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, MODE);
  try {
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
