/**
 * The one table of tools whose own lock or half-done work is a row that survives a kill, as their documentation and
 * their sources say. docs/recover.md lists the tools that were examined and do not need it.
 */
export type ToolName = 'knex' | 'liquibase' | 'prisma';

export interface Tool {
  name: ToolName;
  /** The program, and the npm package that brings it. */
  program: string;
  /** Its script inside the npm package, for `node .../knex/bin/cli.js`. */
  script: string | null;
  /** The subcommands that take its lock, each with the most words that may follow it. */
  commands: ReadonlyMap<string, number>;
  /** What stands in their place in the recovery. */
  recovery: readonly string[];
  /** The options that its command may have: one that is not listed makes the command unknown. */
  options: ReadonlyMap<string, Option>;
  /** Whether upper case and hyphens make no difference in its options and subcommands. */
  anyCase: boolean;
}

export interface Option {
  takesValue: boolean;
  /** Whether it says where or how to connect, so that the recovery needs it too. */
  connects: boolean;
}

/** `connecting` and `others` take a value, `connectingFlags` and `flags` take none. */
function options(names: {
  connecting: readonly string[];
  connectingFlags?: readonly string[];
  others?: readonly string[];
  flags?: readonly string[];
}): ReadonlyMap<string, Option> {
  const { connecting, connectingFlags = [], others = [], flags = [] } = names;
  return new Map<string, Option>([
    ...connecting.map((name): [string, Option] => [name, { takesValue: true, connects: true }]),
    ...connectingFlags.map((name): [string, Option] => [name, { takesValue: false, connects: true }]),
    ...others.map((name): [string, Option] => [name, { takesValue: true, connects: false }]),
    ...flags.map((name): [string, Option] => [name, { takesValue: false, connects: false }]),
  ]);
}

/**
 * The row of knex_migrations_lock (is_locked = 1) is committed before a migration with `transaction: false`.
 * https://github.com/knex/knex/blob/master/bin/cli.js (options and subcommands; `migrate:unlock --all` is an error),
 * https://github.com/knex/knex/blob/master/lib/migrations/migrate/Migrator.js (_lockMigrations, forceFreeMigrationsLock)
 */
const KNEX: Tool = {
  name: 'knex',
  program: 'knex',
  script: 'bin/cli.js',
  commands: new Map([
    ['migrate:latest', 0],
    ['migrate:up', 1],
    ['migrate:to', 1],
    ['migrate:before', 1],
    ['migrate:down', 1],
    ['migrate:rollback', 0],
  ]),
  recovery: ['migrate:unlock'],
  options: options({
    connecting: [
      ...['--env', '--knexfile', '--knexpath', '--cwd', '--client', '--connection'],
      ...['--migrations-directory', '--migrations-table-name'],
    ],
    connectingFlags: ['--esm'],
    flags: ['--debug', '--verbose', '--all', '--disable-transactions'],
  }),
  anyCase: false,
};

/**
 * The row of DATABASECHANGELOGLOCK (LOCKED) is committed before the changes. Every version knows `releaseLocks`; those
 * before 4.4 do not know `release-locks`.
 * https://docs.liquibase.com/commands/utility/release-locks.html,
 * https://github.com/liquibase/liquibase/blob/master/liquibase-cli/src/main/java/liquibase/integration/commandline/LiquibaseCommandLine.java
 * (any case, with and without hyphens; a word after a subcommand),
 * https://github.com/liquibase/liquibase/blob/master/liquibase-standard/src/main/java/liquibase/command/core/helpers/DbUrlConnectionArgumentsCommandStep.java,
 * https://github.com/liquibase/liquibase/blob/master/liquibase-standard/src/main/java/liquibase/GlobalConfiguration.java
 */
const LIQUIBASE: Tool = {
  name: 'liquibase',
  program: 'liquibase',
  script: null,
  commands: new Map([
    ['update', 0],
    ['updatecount', 1],
    ['updatetotag', 1],
    ['updatetestingrollback', 0],
    ['rollback', 1],
    ['rollbackcount', 1],
    ['rollbacktodate', 2],
  ]),
  recovery: ['releaseLocks'],
  options: options({
    connecting: [
      ...['--url', '--username', '--password', '--driver', '--driverpropertiesfile', '--databaseclass'],
      ...['--classpath', '--defaultsfile', '--defaultschemaname', '--defaultcatalogname'],
      ...['--liquibaseschemaname', '--liquibasecatalogname'],
      ...['--databasechangelogtablename', '--databasechangeloglocktablename'],
    ],
    others: [
      ...['--changelogfile', '--searchpath', '--contexts', '--contextfilter', '--labels', '--labelfilter'],
      ...[
        '--count',
        '--tag',
        '--date',
        '--tagversion',
        '--loglevel',
        '--logfile',
        '--logformat',
        '--logchannels',
      ],
      ...['--outputfile', '--showbanner', '--headless', '--showsummary', '--showsummaryoutput'],
      ...[
        '--changelogparameters',
        '--fileencoding',
        '--changeloglockwaittimeinminutes',
        '--changeloglockpollrate',
      ],
    ],
  }),
  anyCase: true,
};

/**
 * Not a lock: a row of _prisma_migrations with neither finished_at nor rolled_back_at makes every later deploy fail.
 * Its recovery is made only when it is named: see src/recover/prisma.ts.
 * https://www.prisma.io/docs/cli/migrate/deploy, https://www.prisma.io/docs/cli/migrate/resolve
 */
const PRISMA: Tool = {
  name: 'prisma',
  program: 'prisma',
  script: 'build/index.js',
  commands: new Map([['migrate deploy', 0]]),
  recovery: ['migrate', 'resolve'],
  options: options({ connecting: ['--schema', '--config'], others: ['--telemetry-information'] }),
  anyCase: false,
};

/** Those that recover by themselves: only a lock is released, nothing is marked as applied or rolled back. */
export const SELF_RECOVERING: readonly Tool[] = [KNEX, LIQUIBASE];
export { PRISMA };
