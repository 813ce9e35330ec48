import { mkdtempSync, openSync, closeSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { resolveCommand } from '../../../src/child/resolve-command.js';
import {
  startChild,
  type ChildEvent,
  type ChildOptions,
  type RunningChild,
} from '../../../src/child/supervise.js';
import { waitFor } from '../../support/wait-for.js';

/** A real program of tests/support/fixtures/child. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../../support/fixtures/child/${name}`, import.meta.url));
}

/** A temporary folder and the children started in it; `dispose` ends the remaining ones and removes it. */
export class Ground {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'migrate-lock-child-'));
  readonly #children: RunningChild[] = [];
  #count = 0;

  file(name: string): string {
    return path.join(this.folder, name);
  }

  async start(
    command: string,
    args: string[] = [],
    options: Partial<ChildOptions> = {},
  ): Promise<StartedChild> {
    const env = options.env ?? process.env;
    const outputFile = this.file(`output-${++this.#count}`);
    const nobody = openSync('/dev/null', 'r');
    const output = openSync(outputFile, 'a');
    const happenings: ChildEvent[] = [];
    try {
      const child = await startChild({
        file: resolveCommand(command, env, process.cwd()),
        command,
        args,
        env,
        mark: `test-${process.pid}-${path.basename(this.folder)}-${this.#count}`,
        stdio: [nobody, output, output],
        timeline: inMs(30_000, 31_000),
        killGraceMs: 500,
        on: (event) => happenings.push(event),
        ...options,
      });
      this.#children.push(child);
      return { child, happenings, output: () => readFileSync(outputFile, 'utf8') };
    } finally {
      closeSync(nobody);
      closeSync(output);
    }
  }

  /** The process ids that fixtures wrote into a file, when there are `count` of them. */
  async pids(file: string, count: number): Promise<number[]> {
    return waitFor(`${count} pids in ${file}`, () => {
      const words = readFileSync(file, 'utf8').split(/\s+/).filter(Boolean);
      return words.length >= count ? words.map(Number) : null;
    });
  }

  async dispose(): Promise<void> {
    for (const child of this.#children) child.stop('lost', 0);
    await Promise.all(this.#children.map((child) => child.ended));
    rmSync(this.folder, { recursive: true });
  }
}

export interface StartedChild {
  child: RunningChild;
  happenings: ChildEvent[];
  output: () => string;
}

/** A timeline that starts now. */
export function inMs(termMs: number, killMs: number): { termAtMs: number; killAtMs: number } {
  const now = performance.now();
  return { termAtMs: now + termMs, killAtMs: now + killMs };
}

/** Waits for the line with which a fixture reports that its signal handlers are installed. */
export async function untilReady({ output }: StartedChild): Promise<void> {
  await waitFor('the word "ready"', () => output().includes('ready'), { intervalMs: 5 });
}
