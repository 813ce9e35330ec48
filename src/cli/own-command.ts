import { Command } from 'commander';
import { UsageError } from '../errors.js';

/** A command whose options do not take the next option, or the command to run, as their value. */
export class OwnCommand extends Command {
  override createCommand(name?: string): OwnCommand {
    return new OwnCommand(name);
  }

  override parseOptions(words: string[]): ReturnType<Command['parseOptions']> {
    this.#checkValues(words);
    return super.parseOptions(words);
  }

  /** A shell leaves an unquoted empty variable out: `--once $UNSET -- knex` arrives as `--once -- knex`. */
  #checkValues(words: readonly string[]): void {
    let last: string | undefined;
    for (let at = 0; at < words.length; at++) {
      const word = words[at] ?? '';
      const [flag = '', joined] = /^(--[^=]+)=(.*)$/s.exec(word)?.slice(1) ?? [word];
      const option = this.options.find(({ short, long }) => flag === long || flag === short);
      if (option === undefined) {
        // Here its command begins, or what is no option at all.
        if (last !== undefined && word !== '--' && !word.startsWith('-')) this.#refuseUnclear(last, word);
        return;
      }
      last = undefined;
      if (!option.required) continue;
      const value = joined ?? words[++at];
      if (joined === undefined) {
        if (value === undefined) throw noValue(flag, 'has no value');
        if (value.startsWith('-')) throw noValue(flag, `is followed by ${value}, not by its value`);
        last = flag;
      }
      if (value === '') throw new UsageError(`${flag} is empty.`, 'Is its variable unset?');
    }
  }

  /** `--once $UNSET npx knex`: is the first word its value, or the command? */
  #refuseUnclear(flag: string, word: string): void {
    if (this.registeredArguments.length === 0) return;
    throw new UsageError(
      `It is not clear whether the command begins with ${word}, or with the word before it, the value of ${flag}.`,
      `Write -- before the command, as in: migrate-lock ${this.name()} ${flag} VALUE -- knex migrate:latest`,
    );
  }
}

function noValue(flag: string, problem: string): UsageError {
  return new UsageError(
    `${flag} ${problem}.`,
    `Is its variable empty or unset? Quote it: ${flag} "$NAME". A value that begins with - is written ${flag}=VALUE.`,
  );
}
