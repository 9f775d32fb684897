# --- an empty file stays empty

# --- a file of comments keeps them


#   one   

#two
# --- before and behind statements
# before
actor User {} # behind   
# above the block
resource Org { # behind the brace
  # before the roles
  roles = ["admin"]; # behind the roles

  # before the rule

  "admin" if "admin"; # behind the rule
  # before the brace
} # behind the block
# after the block
f("x"); # behind the fact
# at the end
# --- blocks stand apart together with what is said about them
f("x");
# about the org
resource Org { roles = ["a"]; }
# about the fact
g("x");
# about what comes, not about the doc

resource Doc { roles = ["a"]; }
# --- alone in braces
resource A { # one
}
resource B {
  # two
}
resource C { # one

  # two

}
test "t" { setup { # one
  } # two
}
test fixture f {
  # one
}
# --- in lists and dictionaries
resource Doc {
  roles = ["admin", # behind one
    # before another
    "member" # behind the last
  ];
  permissions = [
    "read",
    # "write",
  ];
  relations = { # behind the brace
    org: Org, owner: User
    # at the end
  };
  roles = [ # nothing
  ];
  permissions = [
    # nothing

    # at all
  ];
}
# --- in heads and calls
f(x, # the first
  # before the second
  y
) if g(x,
  y # the last
);
f( # nothing
);
declare f(String, # the first
  Integer # the last
);
# --- in conditions
f(x) if # behind if
  g(x) and # behind and
  # before the second

  # still before it
  h(x) # behind the last
;
f(x) # behind the head
  if g(x)
  # before a leading or
  or h(x);
f(x) if
  # before the only one
  g(x);
f(x) if
  g(x) and
  h(x)
  # and k(x)
;
# --- in groups
f(x) if (
    # before the first
    g(x) or
    h(x)
    # or k(x)
  ) and # behind and
  k(x);
f(x) if (g(x) # behind the first
  and k(x)) or h(x) # behind the last
  ;
f(x) if ( # behind a parenthesis that goes
  g(x));
# --- where no line may end they wait for the next place where one may
actor # one
  User # two
{}
resource R extends # one
  A, # two
  B # three
{ roles # one
  = # two
  ["a"]; "a" # three
  if "b" # four
  on "c"; }
f(x) if x # one
  = # two
  y and x in # three
  ["a"];
test # one
"t" { assert # two
  f(x); }
# --- around semicolons
f("x") # before
; # after
f("y")
# before, alone
; ; # after two
; # after three
actor User {}; # behind
test "t" { ; # behind a stray one
  assert f(x); ; # behind another
}
# --- two behind one line: the second gets its own
f(x) if g(x) # one
  and # two
  h(x) # three
  ; # four
# --- what looks like a comment inside a string is none
f("# none", "#"); # one
