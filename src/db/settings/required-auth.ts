import { UsageError } from '../../errors.js';
import type { ConnectionSettings } from './connection-settings.js';

/** The names that require_auth has for the ways to authenticate. */
export type AuthMethod = 'password' | 'md5' | 'gss' | 'sspi' | 'scram-sha-256' | 'oauth';
export type ChannelBinding = 'disable' | 'prefer' | 'require';

/** The minimum that a server must ask for. The guard gets it as JSON. */
export interface AuthWish {
  channelBinding: ChannelBinding;
  methods: readonly AuthMethod[];
  /** Whether a server that asks for nothing (trust, a client certificate) is accepted. */
  allowsNone: boolean;
}

const METHODS: readonly AuthMethod[] = ['password', 'md5', 'gss', 'sspi', 'scram-sha-256', 'oauth'];
const CHANNEL_BINDINGS: readonly ChannelBinding[] = ['disable', 'prefer', 'require'];

/**
 * With libpq's meaning: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH
 * @throws {UsageError} for a value that libpq refuses.
 */
export function readAuthWish({ get, nameOf }: Pick<ConnectionSettings, 'get' | 'nameOf'>): AuthWish {
  const channelBinding = get('channel_binding') ?? 'prefer';
  const binding = CHANNEL_BINDINGS.find((known) => known === channelBinding);
  if (binding === undefined) {
    throw new UsageError(
      `${nameOf('channel_binding')} has a value that PostgreSQL does not know.`,
      `It is one of ${CHANNEL_BINDINGS.join(', ')}.`,
    );
  }
  return { channelBinding: binding, ...readRequireAuth(get('require_auth'), nameOf('require_auth')) };
}

function readRequireAuth(text: string | undefined, name: string): Pick<AuthWish, 'methods' | 'allowsNone'> {
  if (text === undefined) return { methods: METHODS, allowsNone: true };
  const words = text.split(',');
  const excludes = words.every((word) => word.startsWith('!'));
  const names = excludes ? words.map((word) => word.slice(1)) : words;
  const named = new Set(names);
  const isKnown = names.every((word) => word === 'none' || METHODS.some((method) => method === word));
  if (!isKnown || named.size < names.length) {
    throw new UsageError(
      `${name} has a value that PostgreSQL does not take.`,
      `It is a list of ${METHODS.join(', ')}, none, each once, with commas and no spaces; with ! before each one, all others.`,
    );
  }
  return {
    methods: METHODS.filter((method) => named.has(method) !== excludes),
    allowsNone: named.has('none') !== excludes,
  };
}
