import { throughPooler } from '../../support/through-pooler.js';

await throughPooler(() => import('../lock/settings.test.js'));
