// Line icons on a grid of 24 × 24. They decorate: the word beside them, or the button's label, says what they mean.
import { s } from './dom.js';

const paths = {
  accept: 'M5 12.5l4.5 4.5L19 7.5',
  add: 'M12 5v14M5 12h14',
  archive: 'M4 5h16v4H4zM6 9v10h12V9M10 13h4',
  back: 'M14.5 6l-6 6 6 6',
  camera: 'M4 8h3.5L9 5.5h6L16.5 8H20v11H4zM12 16.5a3.25 3.25 0 100-6.5 3.25 3.25 0 000 6.5z',
  clock: 'M12 20.500a8.5 8.5 0 100-17 8.5 8.5 0 000 17zM12 7.500V12l3 2',
  close: 'M6.5 6.500l11 11M17.5 6.500l-11 11',
  copy: 'M9 9h10v10H9zM5 15V5h10',
  down: 'M6 9.500l6 6 6-6',
  edit: 'M5 19h3.500L19 8.5 15.5 5 5 15.5z',
  failed: 'M12 20.500a8.5 8.5 0 100-17 8.5 8.5 0 000 17zM12 7.500v5M12 16v.2',
  forward: 'M9.5 6l6 6-6 6',
  help: 'M12 20.500a8.5 8.5 0 100-17 8.5 8.5 0 000 17zM9.7 9.500a2.4 2.4 0 114 2c-1 .8-1.7 1.2-1.7 2.300M12 16.700v.2',
  menu: 'M5 7h14M5 12h14M5 17h14',
  offline: 'M4 4l16 16M7 15.500a7 7 0 013-1.800M4 11.500a12 12 0 014-2.600M13 8a12 12 0 017 3.500M12 19v.2M14.5 14.500c1 .2 1.8.6 2.5 1',
  open: 'M13 5h6v6M19 5l-9 9M10 6H5v13h13v-5',
  partial: 'M12 20.500a8.5 8.5 0 100-17 8.5 8.5 0 000 17zM12 3.500v17M12 8h5.500M12 12h8.500M12 16h5.5',
  pause: 'M9 6v12M15 6v12',
  photo: 'M4 5h16v14H4zM4 16l4.5-4.5 3.5 3.5 3-3 5 5M15.5 9.500v.2',
  play: 'M8 5.500v13l10-6.5z',
  ready: 'M12 20.500a8.5 8.5 0 100-17 8.5 8.5 0 000 17zM8.5 12.300l2.4 2.4 4.6-5',
  retry: 'M19 12a7 7 0 11-2.3-5.200M19 4v4h-4',
  search: 'M10.5 16.500a6 6 0 100-12 6 6 0 000 12zM15 15l5 5',
  trash: 'M5 7h14M10 7V4.500h4V7M7 7l1 12.500h8L17 7M10.5 11v5M13.5 11v5',
  undo: 'M8 5L4 9l4 4M4 9h10a5 5 0 010 10h-3',
  upload: 'M12 15V4.500M7.5 9L12 4.5 16.5 9M5 15v4h14v-4',
  user: 'M12 12a3.75 3.75 0 100-7.5 3.75 3.75 0 000 7.5zM5 19.500c.6-3.5 3.4-5 7-5s6.4 1.5 7 5',
  waiting: 'M12 20.500a8.5 8.5 0 100-17 8.5 8.5 0 000 17zM8 12v.2M12 12v.2M16 12v.2',
  working: 'M12 3.500a8.5 8.5 0 108.5 8.5',
};

/** An icon by its name. */
export function icon(name, props) {
  return s('svg', { viewBox: '0 0 24 24', 'aria-hidden': 'true', class: `icon${name === 'working' ? ' spin' : ''}`, ...props },
    s('path', { d: paths[name] }));
}
