/** A command of a migration tool that exits 0 also when migrations are pending. */
export interface RefusedCheck {
  /** As it is named in the error. */
  name: string;
  /** The names of its program, without folder, ending and version. */
  programs: readonly string[];
  /** The subcommands: their words in order, with other words in between. */
  commands: readonly (readonly string[])[];
  /** The subcommand is the first word after the program. */
  directly?: true;
  /** Whether its other words make it a check after all, or the command of another program with this name. */
  unless?: (words: readonly string[]) => boolean;
  /** A check that works, as the end of "Use ...". */
  instead: string;
}

const has =
  (...options: string[]) =>
  (words: readonly string[]) =>
    words.some((word) => options.includes(word));
const OF_A_SCRIPT = 'a script that lists what is pending, such as the one for knex in docs/check.md';
const OF_ITS_OUTPUT = 'a shell command that reads its output, as in docs/check.md';

/** Only what the tool's own source shows. Above each: that source, or its documentation. */
export const REFUSED_CHECKS: readonly RefusedCheck[] = [
  // https://github.com/knex/knex/blob/master/bin/cli.js: success() exits 0.
  {
    name: 'knex migrate:list',
    programs: ['knex'],
    commands: [['migrate:list'], ['migrate:status'], ['migrate:currentVersion']],
    instead: 'the script for knex in docs/check.md',
  },
  // https://github.com/flyway/flyway/blob/main/flyway-commandline/src/main/java/org/flywaydb/commandline/Main.java
  {
    name: 'flyway info',
    programs: ['flyway'],
    commands: [['info']],
    unless: has('validate', 'migrate'),
    instead: 'flyway validate',
  },
  // https://github.com/flyway/flyway/tree/main/flyway-plugins: InfoMojo.java and FlywayInfoTask.java print a table.
  {
    name: 'flyway info',
    programs: ['mvn', 'mvnw', 'gradle', 'gradlew'],
    commands: [['flyway:info'], ['flywayInfo']],
    unless: has('flyway:validate', 'flywayValidate', 'flyway:migrate', 'flywayMigrate'),
    instead: 'flyway validate',
  },
  // https://github.com/django/django/blob/main/django/core/management/commands/showmigrations.py
  // https://docs.djangoproject.com/en/stable/ref/django-admin/: makemigrations and check compare the models.
  {
    name: 'showmigrations',
    programs: ['manage', 'django-admin', 'django'],
    commands: [['showmigrations'], ['makemigrations'], ['check']],
    directly: true,
    instead: 'python manage.py migrate --check',
  },
  // https://github.com/django/django/blob/main/django/core/management/commands/migrate.py
  {
    name: 'migrate --plan',
    programs: ['manage', 'django-admin', 'django'],
    commands: [['migrate', '--plan']],
    directly: true,
    unless: has('--check'),
    instead: 'python manage.py migrate --check',
  },
  // https://github.com/rails/rails/blob/main/activerecord/lib/active_record/railties/databases.rake
  {
    name: 'db:migrate:status',
    programs: ['rails', 'rake'],
    commands: [['db:migrate:status'], ['db:version']],
    unless: has('db:abort_if_pending_migrations'),
    instead: 'rails db:abort_if_pending_migrations',
  },
  // https://github.com/sequelize/cli/blob/main/src/commands/migrate.js
  {
    name: 'sequelize db:migrate:status',
    programs: ['sequelize', 'sequelize-cli'],
    commands: [['db:migrate:status']],
    instead: OF_A_SCRIPT,
  },
  // https://github.com/typeorm/typeorm/blob/master/src/commands/MigrationShowCommand.ts: exit code 0, since 0.2.42.
  {
    name: 'typeorm migration:show',
    programs: ['typeorm', 'typeorm-ts-node-commonjs', 'typeorm-ts-node-esm'],
    commands: [['migration:show']],
    instead: OF_A_SCRIPT,
  },
  // https://github.com/mikro-orm/mikro-orm/blob/master/packages/cli/src/commands/MigrationCommandFactory.ts
  {
    name: 'mikro-orm migration:pending',
    programs: ['mikro-orm', 'mikro-orm-esm', '@mikro-orm/cli'],
    commands: [['migration:pending'], ['migration:list']],
    instead: OF_A_SCRIPT,
  },
  // https://github.com/kysely-org/kysely-ctl/blob/main/src/commands/migrate/list.mts
  {
    name: 'kysely migrate list',
    programs: ['kysely', 'kysely-ctl'],
    commands: [['migrate:list'], ['migrate', 'list']],
    unless: has('--fail-on-pending'),
    instead: 'kysely migrate list --fail-on-pending',
  },
  // https://github.com/salsita/node-pg-migrate/blob/main/src/cli/commands.ts
  {
    name: 'node-pg-migrate --dry-run',
    programs: ['node-pg-migrate'],
    commands: [['--dry-run']],
    instead: 'the script for node-pg-migrate in docs/check.md',
  },
  // https://github.com/drizzle-team/drizzle-orm/blob/main/drizzle-kit/src/cli/commands/check.ts: reads only files.
  {
    name: 'drizzle-kit check',
    programs: ['drizzle-kit'],
    commands: [['check']],
    instead: 'the script for Drizzle in docs/check.md',
  },
  // https://github.com/prisma/prisma/blob/main/packages/migrate/src/commands/MigrateDiff.ts: "Success: 0, Error: 1".
  {
    name: 'prisma migrate diff',
    programs: ['prisma'],
    commands: [['migrate', 'diff']],
    unless: has('--exit-code'),
    instead: 'prisma migrate status',
  },
  // https://github.com/sqlalchemy/alembic/blob/main/alembic/command.py
  {
    name: 'alembic current',
    programs: ['alembic'],
    commands: [['current'], ['history'], ['heads'], ['branches']],
    unless: has('--check-heads', 'check'),
    instead: 'alembic current --check-heads (Alembic 1.17.1 or later), or alembic check',
  },
  // https://github.com/miguelgrinberg/Flask-Migrate/blob/main/src/flask_migrate/__init__.py
  {
    name: 'flask db current',
    programs: ['flask'],
    commands: [
      ['db', 'current'],
      ['db', 'history'],
      ['db', 'heads'],
    ],
    instead: 'flask db check',
  },
  // https://github.com/liquibase/liquibase/blob/main/liquibase-standard/src/main/java/liquibase/command/core/StatusCommandStep.java
  {
    name: 'liquibase status',
    programs: ['liquibase'],
    commands: [['status']],
    instead: OF_ITS_OUTPUT,
  },
  // https://github.com/pressly/goose/blob/main/cmd/goose/main.go: validate reads only files.
  {
    name: 'goose status',
    programs: ['goose'],
    commands: [['status'], ['version'], ['validate']],
    instead: OF_ITS_OUTPUT,
  },
  // https://github.com/amacneil/dbmate/blob/main/main.go: "return 1 if there are pending migrations"
  {
    name: 'dbmate status',
    programs: ['dbmate'],
    commands: [['status']],
    unless: (words) => words.some((word) => /^--?(exit-code|quiet)$/.test(word)),
    instead: 'dbmate status --exit-code',
  },
  // https://github.com/sqitchers/sqitch/blob/develop/lib/App/Sqitch/Command/status.pm: 1 only before the first deploy.
  {
    name: 'sqitch status',
    programs: ['sqitch'],
    commands: [['status']],
    instead: OF_ITS_OUTPUT,
  },
  // https://github.com/ariga/atlas/blob/master/cmd/atlas/internal/cmdapi/migrate.go: validate reads only files.
  {
    name: 'atlas migrate status',
    programs: ['atlas'],
    commands: [
      ['migrate', 'status'],
      ['migrate', 'validate'],
    ],
    instead: OF_ITS_OUTPUT,
  },
  // https://github.com/golang-migrate/migrate/blob/master/internal/cli/commands.go
  {
    name: 'migrate version',
    programs: ['migrate', 'golang-migrate'],
    commands: [['version']],
    unless: (words) => !words.some((word) => /^--?(path|source|database)(=|$)/.test(word)),
    instead: OF_ITS_OUTPUT,
  },
  // https://github.com/launchbadge/sqlx/blob/main/sqlx-cli/src/migrate.rs
  {
    name: 'sqlx migrate info',
    programs: ['sqlx', 'cargo-sqlx'],
    commands: [['migrate', 'info']],
    instead: OF_ITS_OUTPUT,
  },
  // https://github.com/diesel-rs/diesel/blob/main/diesel_cli/src/migrations/mod.rs: prints true or false.
  {
    name: 'diesel migration pending',
    programs: ['diesel'],
    commands: [
      ['migration', 'pending'],
      ['migration', 'list'],
    ],
    instead: OF_ITS_OUTPUT,
  },
  // https://github.com/doctrine/migrations/tree/3.9.x/src/Tools/Console/Command
  {
    name: 'migrations:status',
    programs: ['console', 'doctrine', 'doctrine-migrations', 'doctrine-module'],
    commands: ['status', 'list', 'current', 'latest'].flatMap((name) => [
      [`doctrine:migrations:${name}`],
      [`migrations:${name}`],
    ]),
    instead: 'doctrine:migrations:up-to-date',
  },
  // https://github.com/laravel/framework/blob/13.x/src/Illuminate/Database/Console/Migrations/StatusCommand.php
  {
    name: 'artisan migrate:status',
    programs: ['artisan', 'sail'],
    commands: [['migrate:status']],
    unless: (words) => words.some((word) => /^--pending=(?!0?$)/.test(word)),
    instead: 'php artisan migrate:status --pending=1 (Laravel 11.8 or later)',
  },
  // https://github.com/elixir-ecto/ecto_sql/blob/master/lib/mix/tasks/ecto.migrations.ex
  {
    name: 'mix ecto.migrations',
    programs: ['mix'],
    commands: [['ecto.migrations']],
    instead: OF_ITS_OUTPUT,
  },
  // https://github.com/dotnet/efcore/tree/main/src/ef/Commands: the second compares the model with the migrations.
  {
    name: 'dotnet ef migrations list',
    programs: ['ef', 'dotnet-ef'],
    commands: [
      ['migrations', 'list'],
      ['migrations', 'has-pending-model-changes'],
    ],
    instead: OF_ITS_OUTPUT,
  },
];
