import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { EventListener } from '../events/events.js';
import { isTrustedOwner } from '../system/file-owner.js';
import { FigureCollector } from './run-figures.js';
import { followOwnLinks } from './own-links.js';

/** Other users read it, such as node_exporter's. */
const MODE = 0o644;

/** Listens to a run, and then writes its metrics into a file. */
export class MetricsFile {
  readonly #path: string;
  readonly #collector = new FigureCollector();

  constructor(file: string) {
    this.#path = file;
  }

  readonly onEvent: EventListener = (event) => this.#collector.onEvent(event);

  /**
   * Call it after the run, so that loading its modules does not delay the run. Rejects when the file cannot be written.
   */
  async write(): Promise<void> {
    const { figures } = this.#collector;
    if (figures === undefined) return;
    const { toPrometheusText } = await import('./prometheus.js');
    await place(this.#path, await toPrometheusText(figures));
  }
}

/**
 * Replaces the file: readers see the old file or the new one. The folder may be writable by others (/tmp):
 * the new file gets a random name, and is created only if no file has that name. A link of this user or root
 * is followed; when another user replaces the link after the check, the rename replaces it, and not its target.
 */
async function place(file: string, text: string): Promise<void> {
  const { constants, lstat, open, rename, rm } = await import('node:fs/promises'); // few runs need it
  const target = await followOwnLinks(file);
  const found = await lstat(target).catch(() => null);
  // Replacing /dev/null, or a pipe, would be worse than writing nothing.
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
