import type { Command } from 'commander';
import type { Output } from '../output/output.js';
import type { Reporter } from '../ui/reporter.js';

/** The environment, folder and outputs of the process, for a command. */
export interface ProcessContext {
  env: NodeJS.ProcessEnv;
  cwd: string;
  /** How to start this program once more. */
  program: readonly string[];
  /** Events, or the output of a command whose job is output. */
  stdout: Output;
  /** What people read. */
  reporterFor: (quiet: boolean) => Reporter;
  /** Waits until both outputs are written, for a limited time. */
  flush: () => Promise<void>;
}

/** Adds one command with its options to the program. Its exit code goes to `onExitCode`. */
export type AddCommand = (
  program: Command,
  processContext: ProcessContext,
  onExitCode: (code: number) => void,
) => void;
