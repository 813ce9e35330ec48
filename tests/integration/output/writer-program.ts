import { spawn, spawnSync, type ChildProcess, type StdioOptions } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { endProcess, isAlive } from '../../support/processes.js';
import { waitFor } from '../../support/wait-for.js';
import type { Report, Task } from './fixtures/writer.js';

const SOURCE = fileURLToPath(new URL('./fixtures/writer.ts', import.meta.url));

/** The fixture `writer`, built into a temporary folder, and its processes. */
export class WriterProgram {
  readonly folder = mkdtempSync(join(tmpdir(), 'migrate-lock-output-'));
  readonly #program = join(this.folder, 'writer.mjs');
  readonly #started: ChildProcess[] = [];
  #count = 0;

  constructor() {
    buildSync({
      entryPoints: [SOURCE],
      outfile: this.#program,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
    });
    chmodSync(this.folder, 0o777); // for the test that runs it as another user
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  fifo(name: string): string {
    const made = spawnSync('mkfifo', [this.path(name)]);
    if (made.status !== 0) throw new Error(`mkfifo: ${String(made.stderr)}`);
    return this.path(name);
  }

  /** The command line that runs it, and the file of its report. */
  command(task: Partial<Task>): { argv: string[]; report: string } {
    const report = this.path(`report-${++this.#count}`);
    const whole: Task = {
      report,
      lines: 10,
      width: 100,
      streams: ['stdout'],
      flushMs: 1_000,
      timerMs: 50,
      ...task,
    };
    return { argv: [process.execPath, this.#program, JSON.stringify(whole)], report };
  }

  start(task: Partial<Task>, stdio: StdioOptions, options: { path?: string; uid?: number } = {}) {
    const { argv, report } = this.command(task);
    return {
      ...this.spawn(argv, stdio, options),
      report: () => readReport(report),
      /** All lines were passed to the outputs. */
      hasWritten: () => waitFor('the last line to be written', () => existsSync(`${report}.written`)),
    };
  }

  /** Starts any program, which cleanUp() ends. */
  spawn(argv: string[], stdio: StdioOptions, { path, uid }: { path?: string; uid?: number } = {}) {
    const child = spawn(argv[0] ?? '', argv.slice(1), {
      stdio,
      env: { PATH: path ?? process.env.PATH },
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    this.#started.push(child);
    const { pid } = child;
    if (pid === undefined) throw new Error(`could not start ${argv.join(' ')}`);
    const ended = async (limitMs = 20_000): Promise<number | null> => {
      await waitFor('the end of the program', () => child.exitCode !== null || child.signalCode !== null, {
        limitMs,
      });
      return child.exitCode;
    };
    return { child, pid, ended };
  }

  /** Ends the remaining processes, and removes the folder. */
  async cleanUp(): Promise<void> {
    for (const { pid } of this.#started) if (pid !== undefined && isAlive(pid)) await endProcess(pid);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function readReport(path: string): Promise<Report> {
  const text = await waitFor('the report', () => readFileSync(path, 'utf8'));
  return JSON.parse(text) as Report;
}
