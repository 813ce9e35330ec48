import { checkSchemaName } from '../schema/schema-name.js';
import { formatDuration } from '../text/duration.js';
import { OwnOption } from './own-option.js';
import { choiceReader, durationReader } from './values.js';

/** An option that is also an environment variable MIGRATE_LOCK_...; the flag wins. */
export function option(flags: string, description: string): OwnOption {
  return new OwnOption(flags, description).withVariable();
}

export function duration(
  name: string,
  description: string,
  byDefaultMs: number,
  { mayBeZero = false } = {},
): OwnOption {
  const example = formatDuration(byDefaultMs);
  return option(`--${name} <duration>`, description)
    .default(byDefaultMs, example)
    .readBy(durationReader(example, { mayBeZero }));
}

export function choice(
  flags: string,
  description: string,
  [byDefault, ...others]: [string, ...string[]],
): OwnOption {
  const choices = [byDefault, ...others];
  return option(flags, description).choices(choices).default(byDefault).readBy(choiceReader(choices));
}

export function quietOption(): OwnOption {
  return option('--quiet', 'show only errors on stderr').default(false);
}

/** Where the database and the lock are: the same for every command that connects. */
export function connectionOptions(): OwnOption[] {
  return [
    option(
      '--database-url <url>',
      'the database to migrate; default DATABASE_URL, then the PG* variables',
    ).yieldingTo('databaseUrlFile'),
    option('--database-url-file <path>', 'read the URL from a file, as container secrets come'),
    option('--schema <name>', "the lock's own database schema; another schema is another lock")
      .default('migrate_lock')
      .readBy(checkSchemaName),
    quietOption(),
  ];
}

export interface ConnectionOptionValues {
  databaseUrl?: string;
  databaseUrlFile?: string;
  schema: string;
  quiet: boolean;
}
