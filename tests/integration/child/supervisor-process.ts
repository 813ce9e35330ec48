import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { endProcess, processesWith } from '../../support/processes.js';
import { waitFor } from '../../support/wait-for.js';
import { fixture } from './start-one.js';

const PARTS = ['supervise', 'resolve-command', 'guard', 'own-guard', 'leftover-tree', 'process-table'];

/** This variable marks everything that a lab has started. */
const LAB = 'MIGRATE_LOCK_TEST_LAB';

export interface LogLine {
  type: string;
  pid?: number;
  supervisor?: number;
  signal?: string;
  exitCode?: number | null;
  reason?: string;
  leftovers?: number;
  gone?: boolean;
  durationMs?: number;
  source?: string;
  holder?: number;
  ready?: boolean;
  crashRelease?: string;
  left?: number;
  child?: { pid: number; startedAt: number; ownGroup: boolean };
}

/** Runs src/child in separate processes, in environments that the test process cannot have. */
export class SupervisorLab {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'migrate-lock-supervisor-'));
  readonly log = path.join(this.folder, 'log');
  readonly bundle = path.join(this.folder, 'child.mjs');
  output = '';

  async prepare(): Promise<this> {
    await build({
      stdin: {
        contents: PARTS.map((part) => `export * from './${part}.js';`).join('\n'),
        resolveDir: fileURLToPath(new URL('../../../src/child', import.meta.url)),
      },
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: this.bundle,
      logLevel: 'warning',
    });
    return this;
  }

  /** The shell words of a supervisor with `command`. */
  supervisor(times: [termMs: number, killMs: number], ...command: string[]): string {
    const words = [
      process.execPath,
      fixture('supervisor.mjs'),
      this.bundle,
      this.log,
      ...times.map(String),
      ...command,
    ];
    return words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  }

  run(command: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcessWithoutNullStreams {
    const program = spawn(command, args, {
      detached: true,
      env: { ...process.env, ...env, [LAB]: this.folder },
    });
    for (const stream of [program.stdout, program.stderr])
      stream.on('data', (data) => (this.output += String(data)));
    return program;
  }

  /** In its own terminal; what is written to stdin is typed there. */
  runInTerminal(shellCommand: string, env: NodeJS.ProcessEnv = {}): ChildProcessWithoutNullStreams {
    return this.run('script', ['-qec', shellCommand, '/dev/null'], env);
  }

  lines(): LogLine[] {
    if (!existsSync(this.log)) return [];
    const complete = readFileSync(this.log, 'utf8').split('\n').slice(0, -1);
    return complete.map((line) => JSON.parse(line) as LogLine);
  }

  async line(type: string): Promise<LogLine> {
    return waitFor(`a line "${type}" in the log`, () => this.lines().find((line) => line.type === type));
  }

  async untilOutput(part: string): Promise<void> {
    await waitFor(`the output ${part}`, () => this.output.includes(part));
  }

  async dispose(): Promise<void> {
    // Not by the process ids in the log, which may belong to another PID namespace.
    for (const { pid } of processesWith(LAB, this.folder)) await endProcess(pid);
    rmSync(this.folder, { recursive: true });
  }
}
