import { recognizeTool, type RecognizedTool } from '../recover/recognize.js';
import { findProgram, shellArgv } from './program.js';
import type { RunOptions } from './run-context.js';

/** `--recover none`: known tools do not recover either. */
const NO_RECOVERY = 'none';

/** What recovers after an unclean end of a command: its --recover, or the tool that it runs. */
export type RecoveryPlan =
  { by: 'nothing' } | { by: 'command'; line: string } | { by: 'tool'; recognized: RecognizedTool };

export function recoveryPlan({ recover: line, command, args }: RunOptions): RecoveryPlan {
  if (line === NO_RECOVERY) return { by: 'nothing' };
  if (line !== null) return { by: 'command', line };
  const recognized = recognizeTool([command, ...args]);
  return recognized === undefined ? { by: 'nothing' } : { by: 'tool', recognized };
}

/** The plan as `child.deadline` has it. */
export function describePlan(options: RunOptions): string | null {
  const plan = recoveryPlan(options);
  if (plan.by === 'command') return 'command';
  return plan.by === 'tool' ? plan.recognized.tool : null;
}

/** @throws {MigrateLockError} when there is no shell for the recovery (exit 126 or 127) */
export function refuseWithoutShell(options: RunOptions): void {
  const plan = recoveryPlan(options);
  if (plan.by === 'command') findProgram('recovery', shellArgv(plan.line), options);
}
