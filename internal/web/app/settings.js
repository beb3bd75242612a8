// What the server tells its page, and what this browser remembers of its user's choices.

/** {categories, maxUpload, local, userClaim}: see Config in web.go. */
export const server = JSON.parse(document.querySelector('meta[name=loupe]').content);

/** Reads a choice of the user's; storage may be forbidden. */
export function choice(name, fallback) {
  try {
    return localStorage.getItem(`loupe.${name}`) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Keeps a choice; null forgets it. */
export function choose(name, value) {
  try {
    if (value === null) localStorage.removeItem(`loupe.${name}`);
    else localStorage.setItem(`loupe.${name}`, value);
  } catch {
    // It holds until the page is left.
  }
}
