import { Option, type Command } from 'commander';
import { UsageError } from '../errors.js';

/** Reads a value that was given as `name`: a flag or a variable. */
export type Reader = (value: string, name: string) => unknown;

/** An option whose messages name its source: the flag, or the variable. */
export class OwnOption extends Option {
  /** The environment variable from which it comes when there is no flag. */
  variable: string | undefined;
  /** The flag for the same setting in another form: it overrides this variable. */
  yieldsTo: string | undefined;
  #read: Reader = (value) => value;

  readBy(read: Reader): this {
    this.#read = read;
    return this.argParser((value: string) => read(value, this.long ?? this.flags));
  }

  withVariable(): this {
    this.variable = `MIGRATE_LOCK_${this.name().toUpperCase().replaceAll('-', '_')}`;
    this.description += ` (env: ${this.variable})`;
    return this;
  }

  yieldingTo(key: string): this {
    this.yieldsTo = key;
    return this;
  }

  /** What the variable says. */
  readVariable(value: string): unknown {
    const name = this.variable ?? '';
    return this.required ? this.#read(value, name) : readSwitch(value, name) !== this.negate;
  }
}

/**
 * Takes from the environment what no flag has given. An empty variable is an unset one, as compose files and CI systems make
 * them.
 */
export function readVariables(command: Command, env: NodeJS.ProcessEnv): void {
  for (const option of command.options) {
    if (!(option instanceof OwnOption) || option.variable === undefined) continue;
    const value = env[option.variable] ?? '';
    const key = option.attributeName();
    const isGiven = [key, option.yieldsTo ?? key].some(
      (name) => command.getOptionValueSource(name) === 'cli',
    );
    if (value === '' || isGiven) continue;
    command.setOptionValueWithSource(key, option.readVariable(value), 'env');
  }
}

/** How the value of an option was given: `--ttl`, or `MIGRATE_LOCK_TTL`. */
export function nameGiven(command: Command, key: string): string {
  const option = command.options.find((known) => known.attributeName() === key);
  const variable = option instanceof OwnOption ? option.variable : undefined;
  if (variable !== undefined && command.getOptionValueSource(key) === 'env') return variable;
  return option?.long ?? key;
}

/** `--ttl 30s`, `MIGRATE_LOCK_TTL=30s` */
export function written(name: string, value: string): string {
  return `${name}${name.startsWith('-') ? ' ' : '='}${value}`;
}

/** The variable of a switch can also say no. */
function readSwitch(value: string, name: string): boolean {
  const word = value.trim().toLowerCase();
  if (['1', 'true', 'yes', 'y', 'on'].includes(word)) return true;
  if (['0', 'false', 'no', 'n', 'off'].includes(word)) return false;
  throw new UsageError(`${name} ${JSON.stringify(value)} is neither yes nor no.`, `Write ${name}=1, or 0.`);
}
