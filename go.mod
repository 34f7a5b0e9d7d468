module mipsecd

go 1.26.8
