import { existsSync } from 'node:fs';
import { OWN_EXECUTABLE } from '../system/own-executable.js';

/** The build of the executable sets it (scripts/build-binary.mjs). */
declare const MIGRATE_LOCK_IS_EXECUTABLE: boolean | undefined;

/** How to start this program once more: Node.js with `script`, or the executable, which needs no script. */
export function ownProgram(script: string): readonly string[] {
  if (typeof MIGRATE_LOCK_IS_EXECUTABLE !== 'boolean') return [process.execPath, script];
  return [existsSync(OWN_EXECUTABLE) ? OWN_EXECUTABLE : process.execPath];
}
