# idle.sh BEACON PORT: say who we are, then do nothing.
echo "up $2 $$ 0" > "$1"
exec sleep 2147483647
