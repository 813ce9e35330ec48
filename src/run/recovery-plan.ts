import { requirePrisma } from '../recover/prisma.js';
import { recognizeTool, type RecognizedTool } from '../recover/recognize.js';
import { findProgram, shellArgv } from './program.js';
import type { RunOptions } from './run-context.js';

/** `--recover none`: known tools do not recover either. */
const NO_RECOVERY = 'none';
/** `--recover prisma`: a preset that is only used when it is named. */
const PRISMA = 'prisma';

/** What recovers after an unclean end of a command: its --recover, or the tool that it runs. */
export type RecoveryPlan =
  | { by: 'nothing' }
  | { by: 'command'; line: string }
  | { by: 'prisma' }
  | { by: 'tool'; recognized: RecognizedTool };

export function recoveryPlan({ recover: line, command, args }: RunOptions): RecoveryPlan {
  // A block of YAML ends with a newline.
  const name = line?.trim();
  if (name === NO_RECOVERY) return { by: 'nothing' };
  if (name === PRISMA) return { by: 'prisma' };
  if (line !== null) return { by: 'command', line };
  const recognized = recognizeTool([command, ...args]);
  return recognized === undefined ? { by: 'nothing' } : { by: 'tool', recognized };
}

/** The plan as `child.deadline` has it. */
export function describePlan(options: RunOptions): string | null {
  const plan = recoveryPlan(options);
  switch (plan.by) {
    case 'nothing':
      return null;
    case 'command':
    case 'prisma':
      return 'command';
    case 'tool':
      return plan.recognized.tool;
  }
}

/** @throws {MigrateLockError} when there is no shell for the recovery (exit 126 or 127), or a preset is not for this command (64) */
export function refuseWrongRecovery(options: RunOptions): void {
  const plan = recoveryPlan(options);
  if (plan.by === 'prisma') requirePrisma([options.command, ...options.args]);
  if (plan.by === 'command') findProgram('recovery', shellArgv(plan.line), options);
}
