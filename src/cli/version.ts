/** The package's version; the build puts it in (scripts/build.mjs). */
declare const MIGRATE_LOCK_VERSION: string | undefined;

export const VERSION = typeof MIGRATE_LOCK_VERSION === 'string' ? MIGRATE_LOCK_VERSION : '0.0.0-development';
