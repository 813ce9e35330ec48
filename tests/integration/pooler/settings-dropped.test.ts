import { DROPS_SETTINGS } from '../../support/pooler.js';
import { throughPooler } from '../../support/through-pooler.js';

await throughPooler(() => import('../lock/settings.test.js'), { settings: DROPS_SETTINGS });
