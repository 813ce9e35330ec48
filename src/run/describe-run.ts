import { describeThisProcess, type ClientDescription } from '../lock/lease.js';
import { commandIdentity } from '../redact/command-identity.js';
import { redactCommand } from '../redact/command.js';
import type { RunOptions } from './run-context.js';

/** The description of this run that the lock stores and shows. */
export function describeRun({ command, args, connection, once }: RunOptions): ClientDescription {
  const argv = [command, ...args];
  return describeThisProcess(
    redactCommand(argv, connection.secrets),
    once?.runKey,
    commandIdentity(argv, connection.secrets),
  );
}
